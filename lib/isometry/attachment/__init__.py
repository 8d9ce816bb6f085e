"""Every method on somebody's own model and optimiser."""

from isometry.attachment.attached import Attached
from isometry.attachment.building import wire
from isometry.attachment.front import attach
from isometry.attachment.report import LayerRow, ParameterRow, Report
from isometry.attachment.wiring import Initialise, Point, View, Wiring

__all__ = [
    "Attached",
    "Initialise",
    "LayerRow",
    "ParameterRow",
    "Point",
    "Report",
    "View",
    "Wiring",
    "attach",
    "wire",
]

// Nested icons keep the <i> elements that the Play widget looks for.
window.FontAwesomeConfig = { autoReplaceSvg: "nest" };

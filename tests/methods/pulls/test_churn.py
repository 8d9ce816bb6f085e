"""C-CHAIN: which images, which parameters, and how strong, step by step."""

import numpy as np
import pytest
import torch

from isometry.core.seeding import generator


def minibatch(step, size=6):
    draw = generator(4, "images", step)
    return torch.randn(3, size, 3, generator=draw).double()


def logits(parameters, images, i):
    hidden = images[i].numpy()
    for layer in ("h0", "h1"):
        weight, bias = parameters[f"{layer}.w"][i], parameters[f"{layer}.b"][i]
        hidden = np.maximum(hidden @ weight.T + bias, 0)
    return hidden @ parameters["out.w"][i].T + parameters["out.b"][i]


def churn(old, new, images, i):
    """Return E[- sum p_old log p_new], with numpy."""
    one, other = (np.exp(logits(p, images, i)) for p in (old, new))
    one, other = (a / a.sum(1, keepdims=True) for a in (one, other))
    return -(one * np.log(other)).sum(1).mean()


def test_it_holds_outputs_on_the_images_of_the_last_step_but_one(toy):
    own = toy("c_chain", churn_from=2, churn_window=3, churn_target=5.0)
    losses, churns, old = [], [], own.copy()
    for step in range(6):
        now, loss = own.copy(), torch.tensor([0.5, 1.0, -2.0]).double() + step
        images = minibatch(step - 2 if step >= 2 else step)
        found = own.penalty(inputs=minibatch(step), losses=loss)
        expected = [churn(old, now, images, i) for i in range(3)]
        losses.append(loss.abs().numpy())
        churns.append(expected)
        wanted = 5 * np.mean(losses[-3:], 0) / (np.mean(churns[-3:], 0) + 1e-8)
        factor = np.maximum(wanted, 1) * (step >= 2)
        np.testing.assert_allclose(found.detach().numpy(), factor * expected, rtol=1e-9)
        old = now
        own.adam_step(step)
        own.after(step, inputs=minibatch(step))


def test_the_penalty_has_no_gradient_where_nothing_moved(toy):
    """Cross-entropy with oneself is smallest: only what a step changed is held."""
    own = toy("c_chain", churn_from=0)
    loss = torch.ones(3).double()
    for moved in (False, True):
        if moved:
            own.adam_step(0)
        own.optimizer.zero_grad()
        found = own.penalty(inputs=minibatch(0), losses=loss)
        found.sum().backward()
        largest = max(p.grad.abs().max() for p in own.parameters.values())
        assert bool(largest > 1e-6) is moved


def test_a_new_task_begins_without_images_and_losses(toy):
    own = toy("c_chain", churn_from=1)
    for step in range(3):
        own.penalty(inputs=minibatch(step), losses=torch.ones(3).double())
        own.after(step, inputs=minibatch(step))
    own.switch()
    found = own.penalty(inputs=minibatch(9, size=2), losses=torch.ones(3).double())
    assert (found == 0).all()
    assert own.state["taken"].tolist() == [1, 1, 1]
    assert not own.state["before"].numel()


@pytest.mark.parametrize("key", ["churn_target", "churn_window", "churn_from"])
def test_a_setting_out_of_range_is_refused(toy, key):
    with pytest.raises(ValueError, match=f"needed {key} >= ., found -1"):
        toy("c_chain", **{key: -1})

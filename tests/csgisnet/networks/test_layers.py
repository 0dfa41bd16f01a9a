"""The layers of a network where it is trained in bfloat16."""

import copy

import torch

from csgisnet.networks.layers import ImageConv


def test_an_image_is_exact_and_its_gradients_are_rounded_as_those_of_other_layers() -> None:
    torch.manual_seed(4)
    conv = ImageConv(16, 12)
    exact = copy.deepcopy(conv).double()
    features = torch.randn(2, 16, 20, 22).to(torch.bfloat16, memory_format=torch.channels_last)
    gradient = torch.randn(2, 12, 20, 22)
    found = {}
    for name, layer, x in (
        ("bfloat16", conv, features.requires_grad_()),
        ("float32", copy.deepcopy(conv), features.detach().float().requires_grad_()),
        ("float64", exact, features.detach().double().requires_grad_()),
    ):
        with torch.autocast("cpu", torch.bfloat16):
            image = layer(x)
        image.backward(gradient.to(image.dtype))
        at_weights = [p.grad for p in layer.parameters()]
        found[name] = (
            image.detach(),
            *(g.double() for g in (x.grad, *at_weights) if g is not None),
        )
    assert torch.equal(found["bfloat16"][0], found["float32"][0])
    for mine, other in zip(found["bfloat16"][1:], found["float64"][1:], strict=True):
        assert (mine - other).norm() < 0.01 * other.norm()

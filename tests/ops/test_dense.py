"""One answer a pixel, four ways: patch by patch, convolutionally, shifted and stitched, à trous."""

import pytest
import torch
import torchvision
from torch import nn

from foveate.errors import ConfigError
from foveate.ops.dense import atrous, convolutionalize, shift_and_stitch

torch.manual_seed(0)


def chain() -> nn.Sequential:
    """Nested pools and strides, f = 8, R = 34: a strided convolution, a dilated one, both kinds of pooling."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 5, 4, stride=2), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Conv2d(5, 6, 3, dilation=2, groups=1),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 3, (2, 1)),
    ).double().eval()  # fmt: skip


def patches(image, side, step=1):
    """Every side x side patch of one image, (h, w, C, side, side)."""
    return image[0].unfold(1, side, step).unfold(2, side, step).permute(1, 2, 0, 3, 4)


class TestShiftAndStitch:
    def test_equals_the_atrous_network_exactly(self):
        network, x = chain(), torch.randn(2, 2, 53, 61, dtype=torch.float64)
        stitched = shift_and_stitch(network, x, 8)
        torch.testing.assert_close(stitched, atrous(network, x), rtol=1e-12, atol=1e-12)
        assert stitched.shape[-2] > 8

    def test_equals_the_network_on_each_patch(self):
        network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.MaxPool2d(2)).double()
        x = torch.randn(1, 2, 19, 17, dtype=torch.float64)
        side = 10  # 1 -> 2 -> 4 -> 8 -> 10
        each = patches(x, side)
        alone = network(each.flatten(0, 1))[..., 0, 0].T.reshape(1, 4, *each.shape[:2])
        torch.testing.assert_close(shift_and_stitch(network, x, 4), alone, rtol=1e-12, atol=1e-12)

    def test_keeps_the_size_where_the_network_pads(self):
        network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2, ceil_mode=True))
        assert shift_and_stitch(network, torch.randn(1, 1, 13, 22), 2).shape[-2:] == (13, 22)

    def test_a_residual_network_of_declared_stride(self):
        torch.manual_seed(0)
        network = torchvision.models.resnet18(num_classes=3).eval()
        trunk = nn.Sequential(*list(network.children())[:5])  # stem and first stage: stride 4
        out = shift_and_stitch(trunk, torch.randn(1, 3, 32, 36), 4)
        assert out.shape == (1, 64, 32, 36)

    @pytest.mark.parametrize("wrong", [2, 4, 16])
    def test_another_stride_is_refused(self, wrong):
        with pytest.raises(ConfigError, match=f"{wrong} is not the network's stride: it has"):
            shift_and_stitch(chain(), torch.randn(1, 2, 80, 90, dtype=torch.float64), wrong)

    def test_stride_zero_is_refused(self):
        with pytest.raises(ConfigError, match="cannot shift by a stride of 0"):
            shift_and_stitch(chain(), torch.randn(1, 2, 80, 90), 0)


class TestAtrous:
    def test_subsampled_it_is_the_strided_network(self):
        network, x = chain(), torch.randn(1, 2, 60, 70, dtype=torch.float64)
        dense, strided = atrous(network, x), network(x)
        torch.testing.assert_close(dense[..., ::8, ::8], strided, rtol=1e-12, atol=1e-12)

    def test_strides_that_differ_down_and_to_the_right(self):
        """Each axis has holes of its own stride: every second row and every sixth column are the strided network's."""
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(2, 4, (2, 3), stride=(2, 3)), nn.Tanh(), nn.AvgPool2d((1, 2), stride=(1, 2)),
            nn.Conv2d(4, 4, 2, dilation=(2, 1)), nn.MaxPool2d((3, 2), stride=1), nn.Conv2d(4, 3, (1, 2)),
        ).double()  # fmt: skip
        x = torch.randn(1, 2, 40, 61, dtype=torch.float64)
        dense, strided = atrous(network, x), network(x)
        assert dense[..., ::2, ::6].shape == strided.shape
        torch.testing.assert_close(dense[..., ::2, ::6], strided, rtol=1e-12, atol=1e-12)

    def test_shares_the_weights_and_their_gradients(self):
        network, x = chain(), torch.randn(1, 2, 40, 40, dtype=torch.float64)
        atrous(network, x).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network[0].parameters())

    def test_gradients_are_right(self):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 2, 2, stride=2), nn.Tanh(), nn.AvgPool2d(2)).double()
        x = torch.randn(1, 1, 7, 6, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda image: atrous(network, image), x)

    @pytest.mark.parametrize(
        "layer",
        [
            nn.Linear(3, 3),
            nn.ConvTranspose2d(3, 3, 2, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.GroupNorm(1, 3),
            nn.InstanceNorm2d(3),
        ],
    )
    def test_what_cannot_run_is_refused(self, layer):
        with pytest.raises(ConfigError, match=f"{type(layer).__name__} cannot run à trous; expected convolutions"):
            atrous(nn.Sequential(layer), torch.randn(1, 3, 4, 4))

    def test_what_is_no_chain_is_refused(self):
        with pytest.raises(ConfigError, match="ResNet is not a sequence of layers"):
            atrous(torchvision.models.resnet18(), torch.randn(1, 3, 32, 32))


class Functional(nn.Module):
    """Flattens and averages by function, as many networks do."""

    def __init__(self, mean: bool) -> None:
        super().__init__()
        self.mean = mean
        self.conv = nn.Conv2d(2, 6, 3)
        self.fc = nn.Linear(6 if mean else 6 * 4 * 4, 5)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        x = x.mean((2, 3)) if self.mean else x.view(x.size(0), -1)
        return torch.relu(self.fc(x))


def classifiers():
    torch.manual_seed(0)
    trunk = (nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout())
    yield "flatten", nn.Sequential(*trunk, nn.Linear(100, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), 12
    yield "view", Functional(mean=False), 6
    yield "mean", Functional(mean=True), 6
    yield "global max", nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3)), 7
    yield "no bias", nn.Sequential(nn.Flatten(), nn.Linear(2 * 9, 3, bias=False)), 3


def test_an_image_too_small_to_be_shifted_is_named():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3))  # f = 2, R = 8
    assert shift_and_stitch(network, torch.zeros(1, 3, 9, 9), 2).shape[-2:] == (2, 2)
    for side in (4, 8):
        with pytest.raises(ConfigError, match=rf"an image of shape \(1, 3, {side}, {side}\) is too small"):
            shift_and_stitch(network, torch.zeros(1, 3, side, side), 2)


@pytest.mark.parametrize(
    "layer",
    [
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.AvgPool2d(2, divisor_override=3),
        nn.AvgPool2d(3, padding=1, count_include_pad=False),
        nn.ZeroPad2d(1),
        nn.Upsample(scale_factor=2),
        nn.PixelUnshuffle(2),
    ],
)
def test_what_would_answer_differently_without_strides_is_refused(layer):
    with pytest.raises(ConfigError, match="cannot run à trous"):
        atrous(nn.Sequential(nn.MaxPool2d(2), layer), torch.zeros(1, 3, 17, 17))


class TestConvolutionalize:
    @pytest.mark.parametrize(("name", "network", "side"), list(classifiers()), ids=str)
    def test_each_answer_is_the_classifiers_own_on_that_patch(self, name, network, side):
        network = network.double().eval()
        dense = convolutionalize(network, (2, side, side))
        x = torch.randn(1, 2, side + 7, side + 4, dtype=torch.float64)
        out = dense(x)
        step = 2 if name == "flatten" else 1
        each = patches(x, side, step)
        alone = network(each.flatten(0, 1)).T.reshape(1, -1, *each.shape[:2])
        assert out.shape[-1] > 1
        torch.testing.assert_close(out, alone, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize(("name", "side"), [("alexnet", 224), ("resnet18", 64), ("squeezenet1_1", 64)])
    def test_public_classifiers_answer_alike_on_their_own_size(self, name, side):
        torch.manual_seed(0)
        network = torchvision.models.get_model(name, num_classes=7).eval()
        dense = convolutionalize(network, (3, side, side))
        x = torch.randn(1, 3, side, side)
        with torch.no_grad():
            torch.testing.assert_close(dense(x).flatten(1), network(x), rtol=1e-4, atol=1e-5)
            assert dense(torch.randn(1, 3, side + 64, side)).flatten(2).shape[-1] > 1

    def test_the_classifier_itself_stays_as_it_was(self):
        network = nn.Sequential(nn.Flatten(), nn.Linear(18, 3))
        convolutionalize(network, (2, 3, 3))
        assert isinstance(network[1], nn.Linear)
        assert network(torch.zeros(1, 2, 3, 3)).shape == (1, 3)

    def test_the_mode_is_kept(self):
        assert convolutionalize(nn.Sequential(nn.Flatten(), nn.Linear(18, 3)).train(), (2, 3, 3)).training

    def test_other_layers_that_mix_positions_are_refused(self):
        with pytest.raises(ConfigError, match="not a flattened map; only classifiers"):
            convolutionalize(nn.Sequential(nn.Conv2d(2, 4, 1), nn.Linear(3, 3)), (2, 3, 3))
        grid = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(18, 3))
        with pytest.raises(ConfigError, match="is not a sliding window; give patches of the size"):
            convolutionalize(grid, (2, 7, 7))

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.plan.bits import Bits
from engine.quantize.bit_table import tabulate
from engine.quantize.formats.bitstream import pack, packed_size, unpack
from engine.quantize.methods import repq
from engine.quantize.sites import Widths
from tests.engine.quantize.test_repq import tiny_model
from tests.strategies import widths


@given(widths, st.lists(st.integers(0, 255), min_size=1, max_size=300))
def test_codes_come_back_from_the_bitstream(bits: int, given_codes: list[int]) -> None:
    codes = np.array(given_codes, np.uint8) & (2**bits - 1)
    stream = pack(codes, bits)
    assert len(stream) == packed_size(len(codes), bits)
    np.testing.assert_array_equal(unpack(stream, bits, len(codes)), codes)


def test_four_bit_codes_lie_two_to_a_byte() -> None:
    assert pack(np.array([0x3, 0xA, 0xF], np.uint8), 4).tolist() == [0xA3, 0x0F]


def test_a_stream_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes"):
        unpack(np.zeros(3, np.uint8), 4, 8)


def test_the_table_has_every_tensor_with_true_figures() -> None:
    images = torch.randn(16, 3, 32, 32)
    model = repq.RepQ().quantize(tiny_model(init_values=0.5), Widths(Bits(4, 6)), images)
    table = tabulate("x W4A6", model, images)
    rows = {row.tensor: row for row in table.rows}
    assert len(rows) == 2 * (4 * 2 + 4) + 4
    assert {r.bits for n, r in rows.items() if n.endswith(".weight")} == {4}
    assert rows["patch_embed.proj.input"].bits == 8 and rows["head.input"].bits == 6
    assert rows["blocks.0.attn.softmax"].quantizer == "log-sqrt2"
    qkv = rows["blocks.0.attn.qkv.weight"]
    assert (qkv.scales, qkv.elements, qkv.bytes) == (144, 144 * 48, 144 * 48 // 2 + 144 * 8)
    layer = model.blocks[0].attn.qkv
    noise = (layer.weight - layer.frozen).square().sum()
    ratio = 10 * torch.log10(layer.weight.square().sum() / noise)
    assert qkv.sqnr == pytest.approx(float(ratio), abs=0.01)
    assert {"cls_token", "pos_embed", "blocks.0.ls1.gamma", "head.bias", "norm.weight"} <= set(table.floats)
    assert not any(name in table.floats for name in ("head.weight", "blocks.1.mlp.fc2.weight"))
    whole = sum(p.numel() for p in model.parameters()) * 4
    assert table.float32_bytes == whole and table.packed_bytes < whole / 3


def test_more_bits_mean_less_noise_in_every_weight() -> None:
    images = torch.randn(16, 3, 32, 32)
    tables = [
        tabulate("", repq.RepQ().quantize(tiny_model(), Widths(Bits(b, b)), images), images).rows
        for b in (4, 8)
    ]
    for low, high in zip(*tables, strict=True):
        if low.tensor.endswith(".weight"):
            assert low.sqnr is not None and high.sqnr is not None and high.sqnr > low.sqnr + 15

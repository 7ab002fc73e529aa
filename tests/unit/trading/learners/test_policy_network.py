import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.errors import InputError, ModelError
from trading.learners.loading import model_from_bytes
from trading.learners.policy_network import PolicyNetwork, exponential, softmax
from trading.learners.standardisation import Standardisation
from trading.learners.tensors import pack_tensors
from trading.nouns import Action
from trading.strategy import BuyAndHold, MacdCross


def states_of(rows: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.column_stack(
        [
            generator.uniform(1, 900, rows),
            generator.uniform(0, 100, rows),
            generator.normal(0, 5, rows),
            generator.uniform(0, 1e9, rows),
            generator.integers(-1, 2, rows).astype(float),
            generator.uniform(-1, 1, rows),
        ]
    )


def network_of(seed: int = 0, hidden: int = 32) -> PolicyNetwork:
    generator = np.random.default_rng(seed)
    standardisation = Standardisation.fit(states_of(500, seed))
    shapes = {"layers.0.weight": (hidden, 6), "layers.1.weight": (hidden, hidden), "layers.2.weight": (3, hidden)}
    tensors = {name: generator.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}
    tensors |= {
        f"layers.{i}.bias": generator.normal(0, 0.1, width).astype(np.float32)
        for i, width in enumerate((hidden, hidden, 3))
    }
    tensors |= {f"standardisation.{name}": value for name, value in vars(standardisation).items()}
    return PolicyNetwork(tensors)


def by_hand(network: PolicyNetwork, row: list[float]) -> list[float]:
    """One row with Python's floats, term by term: no array library in the oracle."""
    tensors = {name: value.astype(np.float64).tolist() for name, value in network.tensors.items()}
    close_scale, volume_scale = tensors["standardisation.scales"]
    close, rsi, macd, volume, position, sentiment = row
    ratios = [
        close / (abs(close) + close_scale),
        rsi / 100.0,
        macd / (abs(close) + 1e-9),
        volume / (abs(volume) + volume_scale),
        position,
        sentiment,
    ]
    spread = zip(ratios, tensors["standardisation.mean"], tensors["standardisation.deviation"], strict=True)
    values = [min(max((value - mean) / deviation, -5.0), 5.0) for value, mean, deviation in spread]
    for layer in range(3):
        sums = []
        for weights, bias in zip(tensors[f"layers.{layer}.weight"], tensors[f"layers.{layer}.bias"], strict=True):
            total = values[0] * weights[0]
            for value, weight in zip(values[1:], weights[1:], strict=True):
                total += value * weight
            sums.append(total + bias)
        values = [max(value, 0.0) for value in sums] if layer < 2 else sums
    return softmax(values)


def test_probabilities_are_those_of_plain_python_bit_for_bit():
    network, states = network_of(), states_of(200)
    assert network.probabilities(states).tolist() == [by_hand(network, row) for row in states.tolist()]


@pytest.mark.parametrize("rows", [2, 3, 7, 64, 501])
def test_a_row_has_the_same_bits_alone_and_in_any_batch(rows):
    network, states = network_of(), states_of(rows)
    alone = [network.decide(row.reshape(1, 6))[0] for row in states]
    assert network.decide(states) == alone
    assert network.decide(states[::-1]) == alone[::-1]
    assert network.decide(np.asfortranarray(states)) == alone


def test_decision_is_the_likeliest_action_with_its_probability():
    network, states = network_of(), states_of(50)
    for decision, row in zip(network.decide(states), network.probabilities(states), strict=True):
        assert decision.action is Action(int(np.argmax(row)))
        assert decision.confidence == row.max()
        assert row.sum() == pytest.approx(1.0, abs=1e-15)


def _answers_in(environment: dict[str, str]) -> str:
    script = (
        "import importlib.util, sys, hashlib\n"
        f"spec = importlib.util.spec_from_file_location('rows', {__file__!r})\n"
        "rows = importlib.util.module_from_spec(spec); spec.loader.exec_module(rows)\n"
        "print(hashlib.sha256(rows.network_of().probabilities(rows.states_of(300)).tobytes()).hexdigest())\n"
    )
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_bits_do_not_depend_on_threads_or_on_the_width_of_vectors():
    here = hashlib.sha256(network_of().probabilities(states_of(300)).tobytes()).hexdigest()
    narrow = {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}
    assert _answers_in({**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **narrow}) == here
    assert _answers_in({**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}) == here


@settings(deadline=None)
@given(st.floats(-700, 0))
def test_exponential_is_within_two_units_of_the_librarys(x):
    assert exponential(x) == pytest.approx(math.exp(x), rel=2**-51)


def test_exponential_ends():
    assert exponential(0.0) == 1.0
    assert exponential(-1e6) == 0.0


def test_bytes_come_back_as_the_same_network():
    network = network_of()
    again = model_from_bytes("policy_network", network.to_bytes())
    assert again.sha256 == network.sha256 == hashlib.sha256(network.to_bytes()).hexdigest()
    assert again.decide(states_of(9)) == network.decide(states_of(9))


def test_hash_follows_the_weights():
    network = network_of()
    moved = dict(network.tensors)
    moved["layers.2.bias"] = np.nextafter(moved["layers.2.bias"], np.float32(9))
    assert PolicyNetwork(moved).sha256 != network.sha256


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b + b"0000", lambda b: b[5:], lambda b: b"", lambda b: b[:30]]
)
def test_damaged_bytes_are_refused(damage):
    with pytest.raises(ModelError, match="policy_network"):
        PolicyNetwork.from_bytes(damage(network_of().to_bytes()))


def test_tensors_of_another_shape_are_refused():
    tensors = network_of().tensors
    with pytest.raises(ModelError, match="widths"):
        PolicyNetwork({**tensors, "layers.0.weight": tensors["layers.0.weight"][:, :5]})
    with pytest.raises(ModelError, match="tensors"):
        PolicyNetwork({name: value for name, value in tensors.items() if name != "layers.1.bias"})
    with pytest.raises(ModelError, match="finite"):
        PolicyNetwork({**tensors, "layers.2.bias": np.array([np.nan, 0, 0], dtype=np.float32)})
    with pytest.raises(ModelError, match="a sentiment_head"):
        PolicyNetwork.from_bytes(pack_tensors("sentiment_head", tensors))


def test_nan_is_never_answered():
    states = states_of(2)
    states[1, 0] = np.nan
    with pytest.raises(InputError, match="nan for close"):
        network_of().decide(states)


def test_rules_load_by_their_kind_and_unknown_kinds_are_named():
    for rule in (MacdCross(), BuyAndHold()):
        assert model_from_bytes(rule.kind, rule.to_bytes()) == rule
    with pytest.raises(ModelError, match="found 'forest'"):
        model_from_bytes("forest", b"")


def test_standardisation_uses_pooled_statistics_by_hand():
    states = np.array([[10.0, 20.0, 0.1, 100.0, 1.0, 0.5], [30.0, 40.0, -0.3, 300.0, 0.0, -0.5]])
    fitted = Standardisation.fit(states)
    assert fitted.scales.tolist() == [20.0, 200.0]
    rows = fitted.apply(states)
    assert rows[:, 1].tolist() == pytest.approx([-1.0, 1.0], abs=1e-6)  # two rows lie one deviation from their mean
    assert rows[:, 4:].tolist() == [[1.0, 0.5], [0.0, -0.5]]
    far = fitted.apply(np.array([[1e12, 100.0, 9e9, 1e15, 0.0, 0.0]]))
    assert np.abs(far).max() <= 5.0


def test_standardisation_without_rows_or_volume_is_refused():
    with pytest.raises(InputError, match="none"):
        Standardisation.fit(np.empty((0, 6)))
    with pytest.raises(InputError, match="positive median"):
        Standardisation.fit(np.zeros((3, 6)))

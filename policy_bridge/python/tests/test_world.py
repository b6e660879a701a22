from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zenoh

from rehearse_bridge import (
    Channel,
    Embodiment,
    EmbodimentError,
    Fault,
    connect_world,
    embodiment_of,
    serve_world,
)

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("pygame")


def pendulum() -> Any:
    return gymnasium.make("Pendulum-v1", render_mode="rgb_array", max_episode_steps=5)


def cart_pole() -> Any:
    return gymnasium.make("CartPole-v1", render_mode="rgb_array")


def test_spaces_state_the_rig() -> None:
    rig = embodiment_of(pendulum(), rate=20, camera="front")
    assert (rig.cameras[0].height, rig.cameras[0].width) == (500, 500)
    assert [channel.name for channel in rig.proprioception] == ["state_0", "state_1", "state_2"]
    assert list(rig.actions) == [Channel("action", bounds=(-2.0, 2.0))]
    discrete = embodiment_of(cart_pole(), rate=50, images={})
    assert list(discrete.actions) == [Channel("action", bounds=(0.0, 1.0))]
    assert discrete.proprioception[1].bounds is None
    with pytest.raises(EmbodimentError, match="rate"):
        embodiment_of(cart_pole(), rate=None, camera="front")
    with pytest.raises(EmbodimentError, match="camera or images"):
        embodiment_of(cart_pole(), rate=50)


def test_a_world_shows_what_its_environment_shows(session: zenoh.Session) -> None:
    alone = pendulum()
    expected, _ = alone.reset(seed=7)
    with (
        serve_world(pendulum, name="p", rate=20, camera="front", session=session, block=False),
        connect_world("p", session=session, timeout=20) as world,
    ):
        first = world.reset(index=7, instruction="swing up")
        np.testing.assert_array_equal(first.state, expected)
        np.testing.assert_array_equal(first.images["front"], alone.render())
        assert first.prompt == "swing up" and first.time_ns == 0
        advance = world.step([[0.5], [-0.5]])
        for number, (torque, step) in enumerate(zip((0.5, -0.5), advance.steps, strict=True)):
            expected = alone.step(np.array([torque], np.float32))[0]
            np.testing.assert_array_equal(step.observation.state, expected)
            np.testing.assert_array_equal(step.observation.images["front"], alone.render())
            assert step.observation.time_ns == 50_000_000 * (number + 1)
            assert step.success is None
        assert not advance.ended


def test_a_start_is_exact_whatever_came_before(session: zenoh.Session) -> None:
    with (
        serve_world(cart_pole, name="c", rate=50, images={}, session=session, block=False),
        connect_world("c", session=session, timeout=20) as world,
    ):
        first = world.reset(index=3).state
        world.step([[1], [0]])
        other = world.reset(index=4).state
        again = world.reset(index=3, seed=9).state
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_batch_equals_its_trials_one_by_one(session: zenoh.Session) -> None:
    with (
        serve_world(cart_pole, name="c", rate=50, images={}, session=session, block=False),
        connect_world("c", session=session, timeout=20) as world,
    ):
        world.reset_trials([1, 2], "", [5, 6], "", 0)
        together = world.step_trials({2: [[1.0]], 1: [[0.0]]})
        world.close_trials([1, 2])
        alone = []
        for index, push in ((6, 1.0), (5, 0.0)):
            world.reset(index=index)
            alone.append(world.step([[push]]))
    for a, b in zip(together, alone, strict=True):
        assert not isinstance(a, Fault)
        np.testing.assert_array_equal(a.steps[0].observation.state, b.steps[0].observation.state)


def test_the_end_of_an_environment_ends_the_trial(session: zenoh.Session) -> None:
    with (
        serve_world(pendulum, name="p", rate=20, images={}, session=session, block=False),
        connect_world("p", session=session, timeout=20) as world,
    ):
        world.reset()
        advance = world.step(np.zeros((9, 1), np.float32))
        assert advance.ended and len(advance.steps) == 5
        with pytest.raises(Fault, match="has ended this trial"):
            world.step([[0.0]])


@pytest.mark.parametrize(
    "actions", [[[0.0, 0.0]], [[3.0]], [[np.nan]]], ids=["wide", "large", "nan"]
)
def test_bad_actions_are_faults(session: zenoh.Session, actions: Any) -> None:
    with (
        serve_world(pendulum, name="p", rate=20, images={}, session=session, block=False),
        connect_world("p", session=session, timeout=20) as world,
    ):
        world.reset()
        with pytest.raises(Fault) as caught:
            world.step(actions)
        assert caught.value.kind == "malformed_action"


class Tray(gymnasium.Env):  # type: ignore[misc, name-defined]
    """A dictionary observation, success in info, and a step that can break."""

    observation_space = gymnasium.spaces.Dict(
        {
            "pixels": gymnasium.spaces.Dict(
                {"top": gymnasium.spaces.Box(0, 255, (2, 3, 3), np.uint8)}
            ),
            "agent_pos": gymnasium.spaces.Box(-1, 1, (2,), np.float64),
        }
    )
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, task: str = "") -> None:
        self.task = task

    def _observe(self) -> dict[str, Any]:
        pixels = np.full((2, 3, 3), len(self.task), np.uint8)
        return {"pixels": {"top": pixels}, "agent_pos": self.at}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = self.np_random.uniform(-0.5, 0.5, 2)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if action[0] > 0.9:
            raise RuntimeError("motor fault")
        self.at = self.at + self.np_random.uniform(-0.01, 0.01, 2)
        return self._observe(), 0.0, False, False, {"success": action[1] > 0}


def make_tray(task: str) -> Tray:
    return Tray(task)


def test_dictionaries_tasks_success_and_noise(session: zenoh.Session) -> None:
    with (
        serve_world(
            make_tray,
            name="t",
            rate=10,
            images={"top": "pixels/top"},
            state=["agent_pos"],
            max_trials=2,
            session=session,
            block=False,
        ),
        connect_world("t", session=session, timeout=5) as world,
    ):
        assert [each.name for each in world.info.embodiment.proprioception] == [
            "agent_pos_0",
            "agent_pos_1",
        ]

        def noise(seed: int) -> Any:
            start = world.reset(task="pour", index=1, seed=seed)
            assert (start.images["top"] == 4).all()
            return start.state, world.step([[0.0, 1.0]]).steps[0].observation.state

        (start_a, next_a), (start_b, next_b), (_, next_c) = noise(1), noise(2), noise(1)
        np.testing.assert_array_equal(start_a, start_b)
        assert (next_a != next_b).any()
        np.testing.assert_array_equal(next_a, next_c)
        assert world.reset(task="wipe it").images["top"][0, 0, 0] == 7
        steps = world.step([[0.0, -1.0], [0.0, 1.0]]).steps
        assert [step.success for step in steps] == [0.0, 1.0]
        with pytest.raises(Fault, match="motor fault"):
            world.step([[1.0, 0.0]])
        world.reset_trials([1, 2], "a", [0, 0], "", 0)
        (fault,) = world.reset_trials([3], "a", [0], "", 0)
        assert isinstance(fault, Fault) and "raise max_trials" in fault.message


def test_one_environment_takes_one_trial_at_a_time(session: zenoh.Session, rig: Embodiment) -> None:
    with (
        serve_world(cart_pole(), name="c", rate=50, images={}, session=session, block=False),
        connect_world("c", session=session, timeout=5) as world,
    ):
        assert world.info.max_batch == 1
        world.reset()
        (fault,) = world.reset_trials([1], "", [0], "", 0)
        assert isinstance(fault, Fault) and "serve a factory" in fault.message
        world.close_trials([0])
        assert not isinstance(world.reset_trials([1], "", [0], "", 0)[0], Fault)

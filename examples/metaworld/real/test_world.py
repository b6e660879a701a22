"""Resets, conventions and success of the world. Skipped where Meta-World is not installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

# Looked for, not imported: `world` chooses the graphics before MuJoCo is loaded.
if importlib.util.find_spec("metaworld") is None:
    pytest.skip("Meta-World is not installed", allow_module_level=True)

from world import RIG, TASKS, MetaWorld, draw_start  # isort: skip  # it chooses the graphics
from courses import COURSES, Course
from experts import Behaviour, Expert

import mujoco  # isort: skip  # after `world`


@pytest.fixture(params=TASKS)
def env(request: pytest.FixtureRequest) -> Iterator[MetaWorld]:
    made = MetaWorld(request.param)
    yield made
    made.close()


def test_a_start_is_the_same_whatever_came_before(env: MetaWorld) -> None:
    state, _ = env.reset(seed=7)
    image = env.render()
    start = env.full.copy()
    expert = Expert([env], Behaviour.named("noise0.6"))
    for _ in range(30):
        env.step(expert.act(env))
    env.reset(seed=8)
    assert not np.array_equal(env.render(), image)
    again, _ = env.reset(seed=7)
    assert np.array_equal(again, state)
    assert np.array_equal(env.full, start)
    assert np.array_equal(env.render(), image)


def test_the_same_actions_lead_to_the_same_states(env: MetaWorld) -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 4)).astype(np.float32)
    runs = []
    for _ in range(2):
        env.reset(seed=3)
        runs.append(np.stack([env.step(action)[0] for action in actions]))
    assert np.array_equal(*runs)


def test_the_expert_succeeds_and_idleness_does_not(env: MetaWorld) -> None:
    env.reset(seed=0)
    assert not any(env.step(np.zeros(4, np.float32))[4]["success"] for _ in range(110))
    env.reset(seed=0)
    expert = Expert([env], Behaviour())
    assert any(env.step(expert.act(env))[4]["success"] for _ in range(110))


def test_an_expert_that_aims_beside_the_object_ends_beside_it(env: MetaWorld) -> None:
    hands = {}
    for seed in (1, 1, 2):
        expert = Expert([env], Behaviour.named("objbias0.04"))
        expert.reset(seed=seed)
        env.reset(seed=0)
        state = np.zeros(4)
        for _ in range(60):
            state = env.step(expert.act(env))[0]
        if seed in hands:
            assert np.array_equal(hands[seed], state), "the same seed aims at the same place"
        hands[seed] = state
    assert np.linalg.norm(hands[1][:3] - hands[2][:3]) > 0.005


def test_actions_move_the_hand_along_their_axes_and_close_the_gripper() -> None:
    env = MetaWorld("drawer-open-v3")
    for axis in range(3):
        before, _ = env.reset(seed=0)
        action = np.zeros(4, np.float32)
        action[axis] = 1.0
        for _ in range(3):
            after = env.step(action)[0]
        moved = (after - before)[:3]
        assert int(np.argmax(np.abs(moved))) == axis
        # The hand follows a target that moves 1 cm in each of the two simulator steps of an action.
        assert 0.01 < moved[axis] < 0.06
    opened, _ = env.reset(seed=0)
    for _ in range(10):
        closed = env.step(np.array([0, 0, 0, 1], np.float32))[0]
    env.close()
    assert closed[3] < opened[3] - 0.2


def test_starts_keep_the_puck_away_from_its_goal() -> None:
    env = MetaWorld("pick-place-v3")
    starts = np.stack([draw_start(env.task, env.simulator, index) for index in range(200)])
    env.close()
    assert (np.linalg.norm(starts[:, :2] - starts[:, 3:5], axis=1) >= 0.15).all()
    assert len(np.unique(starts, axis=0)) == 200


def test_an_expert_refuses_what_no_simulator_showed(env: MetaWorld) -> None:
    state, _ = env.reset(seed=0)
    image = env.render()
    expert = Expert([env], Behaviour())
    shown = {"state": state.astype(np.float32), "images": {"front": image}}
    assert expert.infer(shown)["actions"].shape == (1, 4)
    with pytest.raises(LookupError):
        expert.infer(shown | {"images": {"front": 255 - image}})


def test_no_pixel_misses_what_is_not_drawn(env: MetaWorld) -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (5, 4)).astype(np.float32)
    env.reset(seed=2)
    env.render()
    meshes, model = env._meshes, env.simulator.model
    hidden = 0
    for action in actions.repeat(6, axis=0):
        env.step(action)
        image = env.render().copy()
        hidden += int((model.geom_group[meshes._geoms] != meshes._groups).sum())
        model.geom_group[meshes._geoms] = meshes._groups
        env._renderer.update_scene(env.simulator.data, env._camera)
        env._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        env._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        assert np.array_equal(env._renderer.render(), image)
    assert hidden > 0


def test_images_are_rendered_as_often_as_asked() -> None:
    seldom = MetaWorld("door-open-v3", render_every=3)
    seldom.reset(seed=2)
    shown = [seldom.render().copy()]
    for _ in range(6):
        seldom.step(np.ones(4, np.float32))
        shown.append(seldom.render().copy())
    seldom.close()
    changed = [not np.array_equal(a, b) for a, b in zip(shown, shown[1:], strict=False)]
    assert changed == [False, False, True, False, False, True]


def test_the_rig_of_noise_is_that_of_the_world() -> None:
    assert json.loads((Path(__file__).parent / "rig.json").read_text()) == RIG.to_wire()


def test_a_course_departs_from_the_expert_at_the_start_it_is_shown(env: MetaWorld) -> None:
    state, _ = env.reset(seed=11)
    shown = {"state": state.astype(np.float32), "images": {"front": env.render()}}
    actions = {name: Course([env], name).infer(shown)["actions"] for name in COURSES}
    expert, still, late = (actions[f"course-{name}"] for name in ("expert", "still", "late"))
    assert expert.shape == (64, 4)
    assert not still.any()
    assert np.array_equal(late[8:], expert[:-8])
    assert all(np.abs(course).max() <= 1 for course in actions.values())
    # The trial itself has not moved, and the expert's course succeeds in it.
    assert np.array_equal(env.full[:4], state)
    assert any(env.step(action)[4]["success"] for action in expert)

"""World files: what they accept, inherit and refuse."""

from pathlib import Path

import pytest

from acquisition.errors import BadWorld
from acquisition.simulated.calibrated import stand_of
from acquisition.simulated.sections import Mix
from acquisition.simulated.world import SHIPPED_WORLDS, World


@pytest.mark.parametrize("path", sorted(SHIPPED_WORLDS.glob("*.toml")), ids=str)
def test_every_shipped_world_loads(path: Path) -> None:
    """A shipped world loads by its name and carries that name."""
    world = World.load(path.stem)

    assert world.name == path.stem


def test_a_world_lies_over_its_base(tmp_path: Path) -> None:
    """Keys of the file win, the others come from the base; seeds are not inherited."""
    path = tmp_path / "dim.toml"
    path.write_text('base = "demo"\n[camera]\nbackground_e = 900\n')

    world = World.load(path)

    assert world.name == "dim"
    assert world.camera.background_e == 900
    assert world.protocol == World.load("demo").protocol


def test_a_base_may_lie_beside_the_file(tmp_path: Path) -> None:
    """A base is looked for beside the file before the shipped ones."""
    (tmp_path / "low.toml").write_text("[optics]\nhalo_um = 33\n")
    (tmp_path / "high.toml").write_text('base = "low.toml"\n[optics]\nna = 0.5\n')

    world = World.load(tmp_path / "high.toml")

    assert (world.optics.halo_um, world.optics.na) == (33, 0.5)


def test_a_circle_of_bases_is_refused(tmp_path: Path) -> None:
    """Bases that lead back to themselves are named."""
    (tmp_path / "one.toml").write_text('base = "two.toml"\n')
    (tmp_path / "two.toml").write_text('base = "one.toml"\n')

    with pytest.raises(BadWorld, match="leads back"):
        World.load(tmp_path / "one.toml")


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    """Every fault comes with file, key path, value and allowed range."""
    path = tmp_path / "wrong.toml"
    path.write_text(
        "colour = 1\n[optics]\nhalo_um = 900\n[cells.mass_pg]\nsigma = 7\n"
        "[death]\nrupture_h = [9, 6]\n[protocol]\nirradiate = [{ t_h = 1 }]\n"
    )

    with pytest.raises(BadWorld) as caught:
        World.load(path)

    text = str(caught.value)
    assert text.startswith(f"{path}: 5 faults")
    assert "colour: unknown key" in text
    assert "optics.halo_um" in text
    assert "(given: 900); allowed: 5.0 to 600.0" in text.replace(
        "5 to 600", "5.0 to 600.0"
    )
    assert "cells.mass_pg.sigma" in text
    assert "death.rupture_h: the first of the two" in text
    assert "protocol.irradiate.0.gy: this key is required" in text


def test_broken_toml_is_bad_input(tmp_path: Path) -> None:
    """A file that is no TOML is refused with its name."""
    path = tmp_path / "broken.toml"
    path.write_text("[optics\n")

    with pytest.raises(BadWorld, match="not a readable TOML file"):
        World.load(path)


def test_an_unknown_name_lists_the_shipped_worlds() -> None:
    """Who mistypes a name is shown the names there are."""
    with pytest.raises(BadWorld, match="cho_10x, cho_20x, cho_40x, demo"):
        World.load("dmo")


def test_the_hash_follows_the_values_only() -> None:
    """Two worlds of the same values have one hash; any other value changes it."""
    world = World.load("cho_10x")
    renamed = world.model_copy(update={"name": "other", "seeds": (1, 2)})
    brighter = world.model_copy(
        update={"camera": world.camera.model_copy(update={"background_e": 1801})}
    )

    assert renamed.hash == world.hash
    assert brighter.hash != world.hash


def test_a_mix_holds_at_most_all_cells() -> None:
    """Fractions above one are refused; `Mix.of` shares out what it is given."""
    mix = Mix.of(dead=0.25, alike=0.3)

    assert sum(mix.fractions()) == pytest.approx(0.55)
    with pytest.raises(ValueError, match="add up to"):
        Mix(ghost=0.8, mitosis=0.3)


def test_a_stand_has_the_constants_of_its_world() -> None:
    """What a calibration would find follows the world file, not the defaults."""
    world = World.check(
        {"optics": {"ring_amplitude": 0.45, "wavelength_um": 0.7}, "camera": {}}, "x"
    )

    stand = stand_of(world)

    assert (stand.ring_amplitude, stand.wavelength_um) == (0.45, 0.7)
    assert stand.camera_offset_dn == world.camera.offset_dn
    assert stand.step_sign == 1

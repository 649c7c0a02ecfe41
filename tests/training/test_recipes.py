"""Recipes: what is checked, how they are found, extended and changed, and what their stages are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from saywhere import SaywhereError
from saywhere.training.recipe_files import RECIPES, find_recipe, read_recipe, recipe_names
from saywhere.training.stages import Stage, list_stages, select_stages, time_shares


class TestRecipe:
    def write(self, tmp_path: Path, text: str) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("model: {name: saywhere}\ndata: [{path: a}]\nlearning_rate: 1", "learning_rate: Extra inputs"),
            ("model: {name: segformer}\ndata: [{path: a}]", "model.name: .*unknown model"),
            ("model: {name: saywhere}", "data: Field required"),
            ("model: {name: saywhere}\ndata: [{path: a}]\nloss: {hinge: 1}", "loss: .*hinge"),
            ("model: {name: saywhere}\ndata: [{path: a}]\nbatch: many", "batch: "),
            ("a: [", "YAML"),
            ("", "file: "),
        ],
    )
    def test_a_fault_is_named(self, tmp_path: Path, text: str, words: str) -> None:
        with pytest.raises(SaywhereError, match=words):
            read_recipe(self.write(tmp_path, text))


class TestExtending:
    def test_a_recipe_takes_what_it_does_not_say(self, tmp_path: Path) -> None:
        (tmp_path / "base.yaml").write_text(
            "model: {name: saywhere}\ndata: [{path: a}]\ncrop: {size: 96, cached_images: 7}\n"
        )
        (tmp_path / "own.yaml").write_text("extends: base.yaml\ncrop: {size: 128}\nsteps: 5\n")
        recipe = read_recipe(tmp_path / "own.yaml")
        assert (recipe.crop.size, recipe.crop.cached_images, recipe.steps, recipe.data[0].path) == (128, 7, 5, "a")

    def test_a_circle_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
        (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
        with pytest.raises(SaywhereError, match="extends itself"):
            read_recipe(tmp_path / "a.yaml")

    def test_mappings_are_merged_at_every_depth_and_later_files_win(self, tmp_path: Path) -> None:
        (tmp_path / "one.yaml").write_text("model: {name: dctnet, options: {hidden: 3, channels: 4}}\nsteps: 5\n")
        (tmp_path / "two.yaml").write_text("data: [{path: a}]\nsteps: 6\n")
        (tmp_path / "own.yaml").write_text("extends: [one.yaml, two.yaml]\nmodel: {options: {channels: 8}}\n")
        recipe = read_recipe(tmp_path / "own.yaml")
        assert recipe.model.options == {"hidden": 3, "channels": 8}
        assert (recipe.steps, recipe.name) == (6, "own")

    @pytest.mark.filterwarnings("default::DeprecationWarning")
    def test_a_recipe_that_ships_is_extended_by_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "own.yaml").write_text("extends: dctnet\ncrop: {size: 320}\n")
        recipe = read_recipe(tmp_path / "own.yaml")
        assert (recipe.name, recipe.model.name, recipe.crop.size) == ("own", "dctnet", 320)
        assert recipe.crop.full_image_prob == read_recipe("dctnet").crop.full_image_prob

    def test_old_keys_of_one_file_meet_new_keys_of_another(self, tmp_path: Path) -> None:
        (tmp_path / "base.yaml").write_text(
            "model: {name: saywhere}\ndata: [{path: a}]\nsampling: {part_weight: 0.5}\n"
        )
        (tmp_path / "own.yaml").write_text("extends: base.yaml\nsampling: {part: 0.25}\nrobots: 2\n")
        with (
            pytest.warns(DeprecationWarning, match="use recipe key part_weight"),
            pytest.warns(DeprecationWarning, match="use recipe key robot_processes"),
        ):
            recipe = read_recipe(tmp_path / "own.yaml")
        assert (recipe.sampling.part_weight, recipe.robot_processes) == (0.25, 2)


class TestShipped:
    @pytest.mark.parametrize("name", recipe_names())
    def test_every_recipe_can_be_read_by_name(self, name: str) -> None:
        recipe = read_recipe(name)
        assert recipe.name == name
        assert list_stages(recipe)

    def test_a_recipe_by_another_name_is_refused_with_a_choice(self) -> None:
        with pytest.raises(SaywhereError, match=r"recipe 'dctnett'.*dctnet-small"):
            read_recipe("dctnett")

    def test_where_recipes_were_before_they_still_are(self) -> None:
        with pytest.warns(DeprecationWarning, match="use dctnet-small"):
            assert find_recipe("recipes/dctnet-small.yaml") == RECIPES / "dctnet-small.yaml"


class TestSet:
    @pytest.mark.parametrize(
        ("change", "key", "value"),
        [
            ("crop.size=320", "crop", 320),
            ("model.options.spatial=false", "spatial", False),
            ("data.0.weight=2.5", "weight", 2.5),
            ("phrases.held_out=[dog, red car]", "held_out", ("dog", "red car")),
            ("model.pretrained=null", "pretrained", None),
        ],
    )
    def test_a_key_is_changed(self, change: str, key: str, value: object) -> None:
        recipe = read_recipe("dctnet-small", [change])
        values = {
            "crop": recipe.crop.size,
            "spatial": recipe.model.options["spatial"],
            "weight": recipe.data[0].weight,
            "held_out": recipe.phrases.held_out,
            "pretrained": recipe.model.pretrained,
        }
        assert values[key] == value
        assert recipe.model.options["channels"] == 48

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("crop.size", "--set 'crop.size': give key=value"),
            ("=3", "give key=value"),
            ("crop.size=[", "value of 'crop.size' is not YAML"),
            ("crop.sides=3", "crop.sides: Extra inputs"),
            ("crop.size=many", "crop.size: "),
            ("batch.more=3", "--set 'batch.more': 'more' leads nowhere"),
            ("data.4.weight=3", "--set 'data.4.weight': '4' leads nowhere"),
            ("stages.late.crop.sides=3", "stages.late.crop.sides: Extra inputs"),
        ],
    )
    def test_a_fault_names_the_key(self, change: str, words: str) -> None:
        with pytest.raises(SaywhereError, match=re.escape(words)):
            read_recipe("multistage-small", [change])

    def test_an_old_key_works(self) -> None:
        with pytest.warns(DeprecationWarning, match="use recipe key part_weight"):
            assert read_recipe("dctnet-small", ["sampling.part=0.5"]).sampling.part_weight == 0.5

    def test_a_change_holds_for_every_stage_and_can_be_made_to_one(self) -> None:
        stages = list_stages(read_recipe("saywhere", ["crop.size=64", "stages.drags.optimiser.lr=0.5"]))
        assert {stage.recipe.crop.size for stage in stages} == {64}
        assert [stage.recipe.optimiser.lr == 0.5 for stage in stages].count(True) == 1
        single = list_stages(read_recipe("multistage-small", ["stages={}", "steps=9"]))
        assert [(stage.name, stage.recipe.steps) for stage in single] == [("", 9)]


STAGES = """
model: {name: saywhere, options: {key: 4}, pretrained: public, freeze: [encoder.]}
data: [{path: a}]
crop: {size: 64}
seed: 7
stages:
  one: {steps: 10, clicks: {drag_prob: 0.9}}
  two: {steps: 30, model: {options: {attention: true}}, crop: {size: 96}}
  three: {after: one, seed: 1, model: {freeze: []}}
"""


class TestStages:
    def stages(self, tmp_path: Path, more: str = "") -> dict[str, Stage]:
        (tmp_path / "recipe.yaml").write_text(STAGES + more)
        return {stage.name: stage for stage in list_stages(read_recipe(tmp_path / "recipe.yaml"))}

    def test_a_stage_takes_the_settings_and_the_weights_of_the_one_it_comes_after(self, tmp_path: Path) -> None:
        one, two, three = self.stages(tmp_path).values()
        assert [stage.after for stage in (one, two, three)] == [None, "one", "one"]
        assert one.recipe.model.pretrained == "public"
        assert two.recipe.model.pretrained is None
        assert two.recipe.model.options == {"key": 4, "attention": True}
        assert three.recipe.model.options == {"key": 4}
        assert [stage.recipe.crop.size for stage in (one, two, three)] == [64, 96, 64]
        assert [stage.recipe.clicks.drag_prob for stage in (one, two, three)] == [0.9, 0.9, 0.9]
        assert [stage.recipe.model.freeze for stage in (two, three)] == [("encoder.",), ()]

    def test_stages_see_different_samples(self, tmp_path: Path) -> None:
        assert [stage.recipe.seed for stage in self.stages(tmp_path).values()] == [7, 8, 1]

    def test_a_stage_may_start_from_a_file(self, tmp_path: Path) -> None:
        stage = self.stages(tmp_path, "  four: {model: {weights: w.safetensors}}")["four"]
        assert (stage.after, stage.recipe.model.weights) == (None, "w.safetensors")

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ("  four: {crop: {sides: 3}}", "stages.four.crop.sides: Extra inputs"),
            ("  four: {after: five}", "stages.four.after: 'five'; it may come after one, two, three"),
            ("  four: {processes: 2}", "stages.four.processes: can only be set for all stages"),
            ("  a/b: {}", "cannot name a folder"),
            ("average: [one, six]", "average: no stage 'six'; its stages are one, two, three"),
            ("average: [one]", "name two or more"),
        ],
    )
    def test_a_fault_is_named(self, tmp_path: Path, more: str, words: str) -> None:
        with pytest.raises(SaywhereError, match=re.escape(words)):
            self.stages(tmp_path, more)

    def test_time_is_shared_out_by_steps(self, tmp_path: Path) -> None:
        stages = list(self.stages(tmp_path).values())[:2]
        assert time_shares(stages, 80.0) == [20.0, 60.0]
        assert time_shares(stages, None) == [None, None]

    def test_stages_are_chosen_by_name(self, tmp_path: Path) -> None:
        stages = list(self.stages(tmp_path).values())
        assert [stage.name for stage in select_stages(stages, "two", None)] == ["two", "three"]
        assert [stage.name for stage in select_stages(stages, None, "two")] == ["one", "two"]
        with pytest.raises(SaywhereError, match=r"--stage 'four'.*one, two, three"):
            select_stages(stages, "four", None)
        with pytest.raises(SaywhereError, match="comes before"):
            select_stages(stages, "two", "one")

"""Real repositories: the parameters that their config.json gives are those that are published of them."""

import pytest
from published_models import PUBLISHED

from tierup.sizing import shape_from_config
from tierup.sizing.config.families import FAMILIES


@pytest.mark.parametrize("repository", PUBLISHED)
def test_the_parameters_are_those_that_are_published(repository: str) -> None:
    published = PUBLISHED[repository]
    assert shape_from_config(published.config, repository).params == pytest.approx(
        published.params, rel=0.001
    )


def test_an_architecture_is_sized_only_if_a_published_model_proves_it() -> None:
    assert {published.config["architectures"][0] for published in PUBLISHED.values()} == set(FAMILIES)


@pytest.mark.parametrize("repository", PUBLISHED)
def test_the_shape_and_the_number_have_a_source(repository: str) -> None:
    assert all((PUBLISHED[repository].shape_source, PUBLISHED[repository].count_source))

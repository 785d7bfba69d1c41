"""Mutations of the questions that set up a microscope."""

from tools.mutations.mutation import Mutation

_INIT = ("tests/edge/cli/setting_up/test_init.py",)

MUTATIONS = (
    Mutation(
        "answers that make no instrument together are lost",
        "edge/cli/setting_up/init.py",
        "            except (ValueError, ConfigError) as error:\n",
        "            except ZeroDivisionError as error:\n",
        _INIT,
    ),
    Mutation(
        "an answer that makes the configuration unreadable is noticed only after the last question",
        "edge/cli/setting_up/init.py",
        '        config_from_toml(toml_of(made), "with these screws")\n',
        "",
        _INIT,
    ),
)

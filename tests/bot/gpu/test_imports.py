"""Imports beside others: what is imported works, and the collector is as it was."""

import gc
import subprocess
import sys

import pytest

from tilestep.bot.gpu.imports import import_gently


@pytest.fixture
def collecting():
    yield gc.enable()
    gc.enable()
    gc.unfreeze()


def test_torch_works_after_its_libraries_were_loaded_ahead():
    code = (
        "import gc; from tilestep.bot.gpu.imports import import_gently; import_gently('torch');"
        "import torch; assert torch.ones(2).sum() == 2; assert gc.isenabled(); assert gc.get_freeze_count() > 10_000"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_collector_rests_only_while_something_is_imported(tmp_path, monkeypatch, collecting):
    (tmp_path / "looks_at_gc.py").write_text("import gc\nworking = gc.isenabled()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import_gently("looks_at_gc")
    assert not sys.modules.pop("looks_at_gc").working
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off(tmp_path, monkeypatch, collecting):
    (tmp_path / "any_module.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    gc.disable()
    import_gently("any_module")
    del sys.modules["any_module"]
    assert not gc.isenabled()


def test_what_cannot_be_imported_leaves_the_collector_at_work(collecting):
    with pytest.raises(ModuleNotFoundError):
        import_gently("there_is_no_such_module")
    assert gc.isenabled()

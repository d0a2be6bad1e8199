"""`python -m nbdebug install` and `uninstall`, on real kernelspec folders; and the wheels."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from interpreters import ROOT, THIS_VERSION

from nbdebug import _version
from nbdebug.__main__ import main
from nbdebug.kernel import install as kernelspecs


def kernel_folder(prefix: Path, name: str = "nbdebug") -> Path:
    return prefix / "share" / "jupyter" / "kernels" / name


def spec(prefix: Path, name: str = "nbdebug") -> dict[str, object]:
    text = (kernel_folder(prefix, name) / "kernel.json").read_text()
    found: dict[str, object] = json.loads(text)
    return found


def test_install_writes_a_kernelspec_that_loads_nbdebug_and_offers_a_debugger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", "--prefix", str(tmp_path)]) == 0
    written = spec(tmp_path)
    argv, meta = written["argv"], written["metadata"]
    assert isinstance(argv, list)
    assert isinstance(meta, dict)
    assert argv[0] == sys.executable
    assert "--InteractiveShellApp.extra_extensions=nbdebug" in argv
    assert meta["debugger"] is True
    assert written["display_name"] == "Python 3 (nbdebug)"
    assert (kernel_folder(tmp_path) / "logo-64x64.png").is_file()
    assert str(kernel_folder(tmp_path)) in capsys.readouterr().out


def test_install_takes_a_name_and_a_display_name(tmp_path: Path) -> None:
    arguments = ["--prefix", str(tmp_path), "--name", "mine", "--display-name", "My debugger"]
    assert main(["install", *arguments]) == 0
    assert spec(tmp_path, "mine")["display_name"] == "My debugger"


def test_install_again_renews_the_kernelspec(tmp_path: Path) -> None:
    for name in ("First", "Second"):
        assert main(["install", "--prefix", str(tmp_path), "--display-name", name]) == 0
    assert spec(tmp_path)["display_name"] == "Second"


def test_install_for_the_user_goes_to_the_users_jupyter_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    assert main(["install", "--user"]) == 0
    assert (tmp_path / "kernels" / "nbdebug" / "kernel.json").is_file()
    assert main(["uninstall"]) == 0
    assert not (tmp_path / "kernels" / "nbdebug").exists()


def test_uninstall_removes_the_kernelspec_and_then_says_that_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["install", "--prefix", str(tmp_path)])
    assert main(["uninstall", "--prefix", str(tmp_path)]) == 0
    assert not kernel_folder(tmp_path).exists()
    capsys.readouterr()
    assert main(["uninstall", "--prefix", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert f"There is no kernelspec 'nbdebug' in {kernel_folder(tmp_path).parent}." in shown
    assert "jupyter kernelspec list" in shown


def test_uninstall_leaves_another_programs_kernelspec_alone(tmp_path: Path) -> None:
    from ipykernel.kernelspec import install

    install(kernel_name="python3", prefix=str(tmp_path))
    with pytest.raises(kernelspecs.UnknownKernelspec, match="isn't nbdebug's"):
        kernelspecs.uninstall_kernelspec("python3", prefix=str(tmp_path))
    assert (kernel_folder(tmp_path, "python3") / "kernel.json").is_file()


def test_install_says_where_it_cannot_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    assert main(["install", "--prefix", str(in_the_way)]) == 2
    shown = capsys.readouterr().err
    assert f"{in_the_way}/share: Not a directory." in shown
    assert "--user" in shown


@pytest.mark.parametrize("name", ["", "a/b", "é", "a b", ".."])
def test_install_refuses_a_name_that_no_kernelspec_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        kernelspecs.BadKernelspecName, match=f"'{name}' can't be a kernelspec's name"
    ):
        kernelspecs.install_kernelspec(name, prefix=str(tmp_path))


def test_the_command_line_without_a_command_shows_its_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    assert "install" in capsys.readouterr().err


def test_every_place_states_the_same_version() -> None:
    package = json.loads((ROOT / "labextension" / "package.json").read_text())
    lock = json.loads((ROOT / "labextension" / "package-lock.json").read_text())
    assert package["version"] == lock["version"] == _version.__version__
    assert metadata.version("nbdebug") == _version.__version__


def test_a_kernel_of_the_kernelspec_loads_nbdebug_beside_the_users_own_extensions(
    tmp_path: Path, each_python: Path
) -> None:
    profile = tmp_path / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text(
        "c.InteractiveShellApp.extensions = ['autoreload']\n"
    )
    install = [str(each_python), "-m", "nbdebug", "install", "--prefix", str(tmp_path)]
    subprocess.run(install, check=True, timeout=60, capture_output=True)
    environment = os.environ | {
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_PATH": str(tmp_path / "share" / "jupyter"),
    }
    loaded = "{'nbdebug', 'IPython.extensions.autoreload'} - get_ipython().extension_manager.loaded"
    assert run_in_kernel(environment, loaded) == "set()"


def run_in_kernel(environment: dict[str, str], expression: str) -> str:
    """Evaluate in a new kernel of the kernelspec 'nbdebug', from a process of its own."""
    program = f"""
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="nbdebug", startup_timeout=60)
try:
    reply = client.execute_interactive("", user_expressions={{"it": {expression!r}}}, timeout=30)
    print(reply["content"]["user_expressions"]["it"]["data"]["text/plain"])
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# -- wheels: the pure one, and the one with the compiled part


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an sdist has, with a labextension that npm needn't build."""
    folder = tmp_path_factory.mktemp("sources")
    left_out = shutil.ignore_patterns("__pycache__", "*.so", "labextension")
    for name in ("nbdebug", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    for name in ("pyproject.toml", "hatch_build.py", "install.json", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "nbdebug" / "labextension").mkdir()
    (folder / "nbdebug" / "labextension" / "package.json").write_text("{}")
    return folder


def build_wheel(
    sources: Path, to: Path, **variables: str
) -> tuple[subprocess.CompletedProcess[str], list[Path]]:
    """Build as pip would, with the hatchling that is here; return the run and the wheels."""
    program = f"from hatchling.build import build_wheel; build_wheel({str(to)!r})"
    dropped = ("NBDEBUG_BUILD_EXT", "NBDEBUG_REQUIRE_ALL", "CC")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=sources,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done, sorted(to.glob("*.whl"))


def compiled_in(wheel: Path) -> list[str]:
    names = zipfile.ZipFile(wheel).namelist()
    assert "nbdebug/engine/dictwatch.py" in names and not any(n.endswith(".c") for n in names)
    return [name for name in names if name.endswith(".so")]


def test_a_wheel_is_pure_and_no_compiler_is_called_unless_it_is_asked_for(
    sources: Path, tmp_path: Path
) -> None:
    done, [wheel] = build_wheel(sources, tmp_path, CC="/no/compiler")
    assert (done.returncode, done.stderr) == (0, "")
    assert wheel.name.endswith("-py3-none-any.whl") and not compiled_in(wheel)


def test_a_wheel_with_the_compiled_part_is_this_platforms_and_it_works_installed(
    sources: Path, tmp_path: Path
) -> None:
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler here")
    done, [wheel] = build_wheel(sources, tmp_path, NBDEBUG_BUILD_EXT="1")
    assert (done.returncode, done.stderr) == (0, "")
    tag = "cp" + THIS_VERSION.replace(".", "")
    assert f"-{tag}-{tag}-" in wheel.name
    [compiled] = compiled_in(wheel)
    assert compiled.startswith("nbdebug/engine/_dictwatch.")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    program = (
        "from nbdebug.engine import dictwatch as d\n"
        "print(d.why_not(), d.__file__, d.native.__file__)"
    )
    shown = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split()
    assert shown[0] == "None" and all(str(installed) in path for path in shown[1:])


@pytest.mark.parametrize("compiler", ["/no/compiler", "false"])
def test_a_wheel_falls_back_to_pure_with_one_line_where_the_compiler_fails(
    sources: Path, tmp_path: Path, compiler: str
) -> None:
    done, [wheel] = build_wheel(sources, tmp_path, NBDEBUG_BUILD_EXT="1", CC=compiler)
    assert done.returncode == 0 and not compiled_in(wheel)
    assert wheel.name.endswith("-py3-none-any.whl")
    [line] = done.stderr.splitlines()
    assert line.startswith("nbdebug: a pure wheel, without the compiled part: ")


def test_where_the_compiled_part_is_required_a_failing_compiler_fails_the_build(
    sources: Path, tmp_path: Path
) -> None:
    asked = {"NBDEBUG_BUILD_EXT": "1", "NBDEBUG_REQUIRE_ALL": "1", "CC": "false"}
    done, wheels = build_wheel(sources, tmp_path, **asked)
    assert done.returncode != 0 and not wheels
    assert "nbdebug: the compiled part can't be built: " in done.stderr

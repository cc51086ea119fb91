"""`trioroute front-end` says what it cannot use, before it starts anything."""

from pathlib import Path

import pytest

from consensus.certificates import write_throwaway_certificates
from trioroute.cli.main import main


def refusal(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["front-end", *options])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_missing_options_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Missing option '--name'" in refusal(capsys)


def test_mistakes_in_settings_are_all_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(
        capsys, "--name", "fe-0", "--data", "d", "--peers", "fe-1=h:1", "--workers", "99"
    )
    assert "fe-0 itself is missing" in said
    assert "--workers: not in 0 … 64" in said


def test_a_data_folder_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(
        capsys, "--name", "fe-0", "--data", "/dev/null/d", "--peers", "fe-0=127.0.0.1:7946"
    )
    assert "data folder /dev/null/d cannot be written" in said


def test_an_access_log_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = refusal(
        capsys,
        *("--name", "fe-0", "--data", str(tmp_path), "--peers", "fe-0=127.0.0.1:7946"),
        *("--access-log", str(tmp_path / "none" / "access.log")),
    )
    assert f"--access-log {tmp_path / 'none' / 'access.log'}: No such file" in said


def test_limits_and_files_for_replicas_are_checked_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own = ("--name", "fe-0", "--data", str(tmp_path), "--peers", "fe-0=127.0.0.1:7946")
    assert "did you mean linger_s?" in refusal(capsys, *own, "--limit", "lingers=2")
    said = refusal(capsys, *own, "--replica-authority", str(tmp_path / "none.pem"))
    assert "--replica-authority" in said
    assert "No such file" in said


def test_a_descriptor_that_is_no_socket(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refusal(
        capsys,
        *("--name", "fe-0", "--data", str(tmp_path), "--peers", "fe-0=127.0.0.1:7946"),
        *("--scoring-fd", "999"),
    )
    assert "--scoring-fd 999" in said


def test_the_peers_certificate_key_and_authority_go_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ("--name", "fe-0", "--data", "d", "--peers", "fe-0=127.0.0.1:7946")
    assert "name all or none" in refusal(capsys, *own, "--peer-key", "k")


def test_peers_on_other_machines_without_certificates(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "--name", "fe-0", "--data", "d", "--peers", "fe-0=10.0.0.1:7946")
    (message,) = said.splitlines()
    assert "--peer-authority" in message


def test_https_needs_both_files_and_the_right_ones(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_throwaway_certificates(tmp_path, ["fe-0", "fe-1"])
    own = ("--name", "fe-0", "--data", str(tmp_path / "d"), "--peers", "fe-0=127.0.0.1:7946")
    fine = str(tmp_path / "fe-0.pem")
    assert "name both or none" in refusal(capsys, *own, "--tls-certificate", fine)
    pair = ("--port", "0", "--tls-certificate", fine, "--tls-key")
    assert "none.key: No such file" in refusal(capsys, *own, *pair, str(tmp_path / "none.key"))
    said = refusal(capsys, *own, *pair, str(tmp_path / "fe-1.key"))
    assert f"fe-1.key is not the key of {fine}" in said

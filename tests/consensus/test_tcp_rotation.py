"""Certificates, and the authority that signs them, are replaced on disk while a group works."""

import shutil
from pathlib import Path

import attrs
import pytest
import trio

from consensus.certificates import PeerTls, load_tls, write_throwaway_certificates
from consensus.errors import HandshakeError
from consensus.tcp import open_peer_stream
from tests.consensus.groups import NAMES
from tests.consensus.test_tcp import RealGroup, open_real_group

MEMBERS = NAMES[:3]


def mounted(folder: Path, name: str) -> Path:
    """Where one front-end finds its three files, as a mounted secret has them."""
    return folder / "mounted" / name


def load(folder: Path, name: str) -> PeerTls:
    """What that front-end loads at its start."""
    place = mounted(folder, name)
    return load_tls(
        certificate=place / "tls.crt", key=place / "tls.key", authority=place / "ca.crt"
    )


def install(folder: Path, name: str, issued: Path) -> None:
    """Put another certificate and key where the front-end finds them: key first, no restart."""
    shutil.copy(issued / f"{name}.key", mounted(folder, name) / "tls.key")
    shutil.copy(issued / f"{name}.pem", mounted(folder, name) / "tls.crt")


def trust(folder: Path, name: str, *authorities: Path) -> None:
    """Let the front-end trust exactly these."""
    texts = [(authority / "authority.pem").read_text() for authority in authorities]
    (mounted(folder, name) / "ca.crt").write_text("".join(texts))


@pytest.fixture
def issued(tmp_path: Path) -> tuple[Path, Path]:
    """Two authorities and what each signed; every front-end has the first one's."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        write_throwaway_certificates(folder, MEMBERS)
    for name in MEMBERS:
        mounted(tmp_path, name).mkdir(parents=True)
        install(tmp_path, name, old)
        trust(tmp_path, name, old)
    return old, new


async def shown_certificate(group: RealGroup, caller: PeerTls, name: str) -> bytes:
    """What a front-end shows to a new connection, as DER."""
    address = next(each for each in group.addresses if each.name == name)
    stream = await open_peer_stream(address, "echo", "fe-0", caller)
    async with stream:
        await stream.send_all(b"x")
        assert await stream.receive_some(1) == b"x"
        assert isinstance(stream, trio.SSLStream)
        return bytes(stream.getpeercert(binary_form=True))


@attrs.frozen
class Standing:
    """What a rotation must not touch: who leads in which term, and through which sessions."""

    leader: str
    term: int
    sessions: int


def standing(group: RealGroup) -> Standing:
    """That, now. Somebody must be coordinator at every moment that this is asked."""
    (leader,) = (name for name, real in group.members.items() if real.member.authority.is_held())
    opened = sum(real.transport.statistics.sessions_opened for real in group.members.values())
    return Standing(leader, group.members[leader].member.statistics().term, opened)


async def test_certificates_and_their_authority_rotate_without_a_session_or_a_leader_lost(
    tmp_path: Path, issued: tuple[Path, Path]
) -> None:
    """The procedure of consensus/README.md, step by step."""
    old, new = issued
    async with open_real_group(tls={name: load(tmp_path, name) for name in MEMBERS}) as group:
        await group.wait_leader()
        with trio.fail_after(10):
            while standing(group).sessions < 6:  # noqa: ASYNC110 - sessions post nothing
                await trio.sleep(0.01)
        before = standing(group)
        caller = load(tmp_path, "fe-0")
        first = await shown_certificate(group, caller, "fe-1")

        for name in MEMBERS:  # 1. trust both
            trust(tmp_path, name, old, new)
            assert standing(group) == before
        for name in MEMBERS:  # 2. show the new certificates
            install(tmp_path, name, new)
            assert await shown_certificate(group, caller, "fe-1")
            assert standing(group) == before
        for name in MEMBERS:  # 3. trust the new authority alone
            trust(tmp_path, name, new)
            assert standing(group) == before

        assert await shown_certificate(group, caller, "fe-1") != first
        leaver = next(name for name in MEMBERS if name != before.leader)
        group.members[leaver].scope.cancel()
        await group.start(leaver)
        await group.members[leaver].member.propose(b"back", timeout_s=10)
        assert standing(group).leader == before.leader

        late = load_tls(
            certificate=old / "fe-0.pem", key=old / "fe-0.key", authority=new / "authority.pem"
        )
        with pytest.raises((HandshakeError, trio.BrokenResourceError)):
            await open_peer_stream(group.addresses[1], "echo", "fe-0", late)


async def test_files_that_do_not_load_change_nothing_until_they_do(
    tmp_path: Path, issued: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    old, _ = issued
    tls = load(tmp_path, "fe-0")
    earlier = tls.accepting
    certificate = mounted(tmp_path, "fe-0") / "tls.crt"
    for broken in (b"-----BEGIN CERTIFICATE-----\nhalf", (old / "fe-1.pem").read_bytes()):
        certificate.write_bytes(broken)
        assert tls.accepting is earlier
        assert "do not load" in tls.problem
        assert tls.accepting is earlier
        assert caplog.messages[-1].startswith(tls.problem)
    assert len(caplog.messages) == 2, "once for each set of files, not for each connection"
    certificate.unlink()
    assert tls.accepting is earlier
    shutil.copy(old / "fe-0.pem", certificate)
    assert tls.accepting is not earlier
    assert tls.problem == ""

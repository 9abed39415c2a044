"""Which trained model serves an event, as the settings of control.models say, and the loaded models of a worker.

The choice depends on the settings alone, so a replay makes it again. Loading is done ahead of frames, in a thread: a
view of the settings is shown to the agents when what it names is loaded, so a change takes effect between two frames.
See docs/models.md.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple, Protocol

from models.registry import Artifact, ArtifactRefused, NoSuchVersion, Place, Registry
from models.registry.activation import ACTIVE, NOBODY, Post, version_of
from schemas import topics
from streams.runtime import Control, Halt
from streams.runtime.control import EVERYONE, Entry

log = logging.getLogger(__name__)

MODELS, FLAGS = topics.CONTROL_MODELS.name, topics.CONTROL_FLAGS.name
OFF = "models_off"

AHEAD_S = 1.0
"""A new view of the settings waits so long, at most, for what it names: other settings must hold within 2 s."""

KEPT = 2
"""Versions of each post that are loaded ahead: the newest, and the one that it took the place of."""

GROWS = 4
"""A model takes about so many times the bytes of its files."""

Readers = Mapping[str, Callable[[Artifact], Any]]
"""What makes a model of a verified version, by the model's name. Raises ArtifactRefused."""


class NotLoadedError(Halt):
    """A version that is to serve is not loaded: its partition waits until it is."""


class Models(Protocol):
    """Loaded models."""

    def get(self, place: Place, version: str) -> Any:
        """The model of a version.

        Raises:
            ArtifactRefused: it must not be used.
            NotLoadedError: it is not there yet.
        """
        ...


class NoModels:
    """For agents that run without a folder of models."""

    def get(self, place: Place, version: str) -> Any:
        raise NotLoadedError(f"{place}, {version} is to serve, but nothing says where models are stored")


NO_MODELS = NoModels()


class Serving(NamedTuple):
    """What serves an event.

    Attributes:
        model: as its reader made it; None where no trained model serves.
        version: its name; empty without one.
        place: what it is a version of; None without one.
        refused: why a newer version, which should serve, does not; None where none was refused.
        calibration: name of the calibration of its own that it scores with; empty for the one it was trained with.
    """

    model: Any = None
    version: str = ""
    place: Place | None = None
    refused: str | None = None
    calibration: str = ""


def serving(control: Control, models: Models, post: Post, tenant: str, time: int) -> Serving:
    """What serves a tenant's events at a record timestamp, epoch milliseconds.

    A post for the subject comes before that for all subjects, the tenant's own before that of `*`. Of a post whose
    version is refused, the newest earlier version that is not refused serves.

    Raises:
        NotLoadedError: the version is not there yet.
    """
    if control.get(FLAGS, EVERYONE, OFF, time):
        return Serving()
    posts = (post, replace(post, subject="")) if post.subject else (post,)
    for each in posts:
        found = control.find(MODELS, tenant, each.setting, time)
        if found is None:
            continue
        who, entry = found
        if entry.value == NOBODY:
            return Serving()
        return _loaded(models, each, who, control.history(MODELS, who, each.setting), entry, time)
    return Serving()


def _loaded(models: Models, post: Post, who: str, history: tuple[Entry, ...], entry: Entry, time: int) -> Serving:
    refused: str | None = None
    for each in reversed(history):
        if each.version > entry.version or each.valid_from > time or each.value in (None, NOBODY):
            continue
        try:
            place, version = _wanted(post, who, each.value)
            return Serving(models.get(place, version), version, place, refused)
        except ArtifactRefused as error:
            refused = refused or str(error)
    return Serving(refused=refused)


@lru_cache(4096)
def _wanted(post: Post, who: str, value: str) -> tuple[Place, str]:
    """The version that a value names. Raises ArtifactRefused where it must not fill the post."""
    try:
        found = version_of(post, value)
    except ValueError as error:
        raise ArtifactRefused(f"{post.setting} of {who}: {error}") from error
    assert found is not None, "NOBODY is no version"
    place, version = found
    if place.tenant not in (who, EVERYONE):
        raise ArtifactRefused(f"{post.setting} of {who}: {version} is a model of {place.tenant}, another tenant")
    return place, version


class Loaded(NamedTuple):
    model: Any
    size: int


class Shelf:
    """The loaded models of a worker, the least used given up first.

    Args:
        registry: where they are stored.
        readers: by the model's name.
        most_bytes: memory for all of them, by the sizes of their files; the last one used stays however large.
        tell: hears of each version that is refused, and why, once; and with None when that is over.
    """

    def __init__(
        self,
        registry: Registry,
        readers: Readers,
        *,
        most_bytes: int,
        tell: Callable[[Place, str, str | None], None] = lambda place, version, why: None,
    ) -> None:
        self._registry, self._readers = registry, readers
        self._most, self._tell = most_bytes, tell
        self._models: OrderedDict[tuple[Place, str], Loaded] = OrderedDict()
        self._refused: dict[tuple[Place, str], str] = {}
        self._pending: dict[tuple[Place, str], Future[None]] = {}
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="models")

    def get(self, place: Place, version: str) -> Any:
        """As `Models.get`; what is not there yet is being loaded from then on."""
        wanted = (place, version)
        with self._lock:
            found = self._models.get(wanted)
            if found is not None:
                self._models.move_to_end(wanted)
                return found.model
            if wanted in self._refused:
                raise ArtifactRefused(self._refused[wanted])
        self._begin(wanted)
        raise NotLoadedError(f"{place}, {version} is to serve and is not loaded yet")

    async def prepare(self, control: Control) -> None:
        """Load what a view of the settings names, as far as that can be done within AHEAD_S."""
        ahead = [asyncio.wrap_future(self._begin(each)) for each in named(control)]
        if ahead:
            _, late = await asyncio.wait(ahead, timeout=AHEAD_S)
            if late:
                log.warning("%d models are not loaded after %g s, going on", len(late), AHEAD_S)

    def close(self) -> None:
        """Load nothing any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin(self, wanted: tuple[Place, str]) -> "Future[None]":
        with self._lock:
            pending = self._pending.get(wanted)
            if pending is not None:
                return pending
            if wanted in self._models:
                done: Future[None] = Future()
                done.set_result(None)
                return done
            pending = self._pending[wanted] = self._thread.submit(self._load, wanted)
        return pending

    def _load(self, wanted: tuple[Place, str]) -> None:
        place, version = wanted
        try:
            artifact = self._registry.load(place, version)
            reader = self._readers.get(place.model)
            if reader is None:
                raise ArtifactRefused(f"{place}, {version}: this release has no model of that name")
            model = reader(artifact)
        except (ArtifactRefused, NoSuchVersion) as error:
            with self._lock:
                news = self._refused.get(wanted) != str(error)
                self._refused[wanted] = str(error)
                del self._pending[wanted]
            if news:
                log.error("refused: %s", error)
                self._thread.submit(self._say, place, version, str(error))
        except Exception as error:  # noqa: BLE001 - logged; whoever needs it asks again
            log.error("%s, %s could not be loaded: %s: %s", place, version, type(error).__name__, error)
            with self._lock:
                del self._pending[wanted]
        else:
            mended = self._keep(wanted, Loaded(model, GROWS * sum(map(len, artifact.files.values()))))
            log.info("%s, %s is loaded", place, version)
            if mended:
                self._thread.submit(self._say, place, version, None)

    def _say(self, place: Place, version: str, why: str | None) -> None:
        try:
            self._tell(place, version, why)
        except Exception:
            log.exception("that %s, %s is refused could not be told", place, version)

    def _keep(self, wanted: tuple[Place, str], found: Loaded) -> bool:
        """Put a model on the shelf; whether it had been refused before."""
        with self._lock:
            self._models[wanted] = found
            mended = self._refused.pop(wanted, None) is not None
            del self._pending[wanted]
            size = sum(each.size for each in self._models.values())
            while size > self._most and len(self._models) > 1:
                (place, version), given_up = self._models.popitem(last=False)
                size -= given_up.size
                log.info("%s, %s was given up for lack of memory", place, version)
        return mended


def named(control: Control) -> Iterator[tuple[Place, str]]:
    """The versions that a view of the settings names and that are worth loading ahead, each once."""
    seen = set()
    for tenant, setting, history in control.family(MODELS, ACTIVE):
        post = Post.read(setting.partition("|")[2])
        values = [entry.value for entry in history if entry.value not in (None, NOBODY)]
        for value in list(dict.fromkeys(reversed(values)))[:KEPT]:
            try:
                wanted = _wanted(post, tenant, value)
            except ArtifactRefused:
                continue  # said where it should serve
            if wanted not in seen:
                seen.add(wanted)
                yield wanted

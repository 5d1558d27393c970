"""`edgeward init`: asks a device what it can tell and writes a configuration that runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Final

from gateway import draft, log, plugins
from gateway.cli import output
from gateway.errors import ConfigError, GatewayError
from gateway.log import printable
from gateway.problems import listed
from gateway.survey import Survey, Tell

MOST_SECONDS: Final = 700.0
"""More than any survey takes: a broker may be listened to for 600 s, and the others have bounds well below that."""


def run(url: str, path: Path | None, force: bool) -> int:
    """Print a configuration, or write it to `path`. 0 if there is one now, 1 if not."""
    log.hush()
    try:
        if path is not None and path.exists() and not force:
            raise FileExistsError
        text = draft.write(asyncio.run(_ask(find(url), url)))
        if path is None:
            print(text, end="")
        elif force:
            output.replace(path, text.encode())
        else:
            output.create(path, text)
    except FileExistsError:
        return _fail(f"{path} exists already: choose another name, or --force to overwrite it")
    except TimeoutError:
        return _fail(f"{url} did not tell all within {MOST_SECONDS:g} s")
    except (GatewayError, OSError) as error:
        return _fail(str(error))
    if path is not None:
        _tell(f"{path} is written. Next: edgeward check --live {path}, then edgeward run {path}")
    return 0


def find(url: str) -> ModuleType:
    """The driver that speaks the scheme of a URL. Raises ConfigError where there is none, or where it cannot ask."""
    scheme = url.partition("://")[0].lower()
    drivers = plugins.usable("driver")
    schemes = {each: module for module in drivers.values() for each in getattr(module, "SCHEMES", ())}
    if scheme in schemes and hasattr(schemes[scheme], "survey"):
        return schemes[scheme]
    if scheme in schemes or scheme in drivers:
        raise ConfigError(f"the driver for {scheme} cannot ask a device what it has: write its configuration by hand")
    raise ConfigError(f"{url} is not understood: write {listed(f'{each}://HOST' for each in sorted(schemes))}")


async def _ask(module: ModuleType, url: str) -> Survey:
    survey: Callable[[str, Tell], Awaitable[Survey]] = module.survey
    async with asyncio.timeout(MOST_SECONDS):
        return await survey(url, _tell)


def _tell(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


def _fail(reason: str) -> int:
    _tell(f"edgeward: {reason}")
    return 1

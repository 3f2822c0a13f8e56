"""Values with their units, as Grafana's panels write them."""

from collections.abc import Callable

_TIMES = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_THOUSANDS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ((2.0**40, " TiB"), (2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"))


def written(value: float, unit: str) -> str:
    """A value in one of Grafana's units, in three digits; raises `KeyError` for a unit that no board uses."""
    return _UNITS[unit](value)


def _digits(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _seconds(value: float) -> str:
    size, name = next(((size, name) for size, name in _TIMES if abs(value) >= size), (1.0, "s"))
    return f"{_digits(value / size)} {name}"


def _scaled(steps: tuple[tuple[float, str], ...], after: str = "") -> Callable[[float], str]:
    def text(value: float) -> str:
        size, name = next(
            ((size, name) for size, name in steps if abs(value) >= size), (1.0, " " if after else "")
        )
        return f"{_digits(value / size)}{name}{after}"

    return text


def _with(after: str, times: float = 1) -> Callable[[float], str]:
    return lambda value: f"{_digits(value * times)}{after}"


_UNITS: dict[str, Callable[[float], str]] = {
    "none": _digits,
    "short": _scaled(_THOUSANDS),
    "percentunit": _with(" %", 100),
    "percent": _with(" %"),
    "s": _seconds,
    "d": _with(" d"),
    "currencyUSD": lambda value: f"${value:,.2f}",
    "reqps": _with(" req/s"),
    "watt": _with(" W"),
    "celsius": _with(" °C"),
    "hertz": _scaled(((1e9, " G"), (1e6, " M"), (1e3, " k")), "Hz"),
    "bytes": _scaled(_BINARY),
    "Bps": _scaled(((1e9, " G"), (1e6, " M"), (1e3, " k")), "B/s"),
    "bps": _scaled(((1e9, " G"), (1e6, " M"), (1e3, " k")), "b/s"),
}

"""Which models may answer a call: the one that is asked for, its fallbacks, and what a Router has under its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ...metering.quotes import Offer
from .prices import stated_price

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...pricing.prices import PriceRow

    #: Reads the price that options state; whose they are is for messages.
    _Price = Callable[[Mapping[str, Any], str], PriceRow | None]

__all__ = ["Candidates", "candidates"]

_FALLBACKS: Final = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_MAXIMA: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Candidates:
    """Who may answer, the one who is asked first too, and the longest answer (tokens) that they set."""

    offers: tuple[Offer, ...]
    longest: int | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The names that prices are looked up by."""
        return tuple(offer.model for offer in self.offers)


def candidates(litellm: Any, router: Any, arguments: Mapping[str, Any], *, has_output: bool) -> Candidates:
    """Return who may answer. Raise ValueError for prices that come with the call and cannot be used."""
    price: _Price = partial(stated_price, has_output=has_output)
    found = list(_deployments(router, arguments, price) if router is not None else _asked(litellm, arguments, price))
    maxima = [longest for _, longest in found]
    longest = max((most for most in maxima if most is not None), default=None)
    offers = tuple(dict.fromkeys(offer for offer, _ in found))
    return Candidates(offers, longest if router is None or None not in maxima else None)


# without a router ----------------------------------------------------------------------------------------------------


def _asked(litellm: Any, arguments: Mapping[str, Any], price: _Price) -> Iterator[tuple[Offer, int | None]]:
    stated = price(arguments, "The call")
    yield Offer(_named(arguments.get("model"), arguments, litellm.model_alias_map), stated), None
    for fallback in _listed(arguments.get("fallbacks") or litellm.model_fallbacks):
        if isinstance(fallback, Mapping):
            options = {**arguments, "model": None, "base_model": None, **fallback}
            options["model"] = options["model"] or arguments.get("model")
            name = _named(options["model"], options, litellm.model_alias_map)
            yield Offer(name, price(options, f"The fallback {name!r}")), _maximum(fallback)
        else:  # litellm sends it with the arguments of the call, its prices too
            yield Offer(_named(fallback, {}, litellm.model_alias_map), stated), None
    larger = arguments.get("context_window_fallback_dict")
    if isinstance(larger, Mapping) and larger.get(arguments.get("model")):
        yield Offer(_named(larger[arguments["model"]], {}, {}), stated), None


def _named(model: Any, options: Mapping[str, Any], aliases: Mapping[str, str]) -> str:
    """Return the name that a model has its price under."""
    name: str = options.get("base_model") or aliases.get(model, model)
    provider = options.get("custom_llm_provider")
    if provider and not str(name).startswith(f"{provider}/"):
        return f"{provider}/{name}"
    return name


# with one ------------------------------------------------------------------------------------------------------------


def _deployments(router: Any, arguments: Mapping[str, Any], price: _Price) -> Iterator[tuple[Offer, int | None]]:
    registry = _Registry(router)
    stated = price(arguments, "The call")
    groups = [arguments.get("model")]
    tables = [*registry.fallbacks, arguments.get("fallbacks"), *(arguments.get(name) for name in _FALLBACKS[1:])]
    for group in groups:
        for deployment in registry.deployments(group):
            yield _of_deployment(deployment, group, stated, price)
        groups += [name for name in _next(tables, group) if name not in groups]


def _of_deployment(
    deployment: Mapping[str, Any], group: Any, stated: PriceRow | None, price: _Price
) -> tuple[Offer, int | None]:
    params, info = deployment.get("litellm_params") or {}, deployment.get("model_info") or {}
    name = info.get("base_model") or params.get("base_model") or params.get("model") or group
    name = group if "*" in str(name) else name  # a route for all models of a provider
    name = _named(name, {"custom_llm_provider": params.get("custom_llm_provider")}, {})
    if stated is not None:
        return Offer(name, stated), _maximum(params)
    own = price({**info, **params}, f"The deployment of {name!r} in the group {group!r}")
    return Offer(name, own, None if own is None else str(info.get("id"))), _maximum(params)


def _next(tables: Iterable[Any], group: Any) -> Iterator[Any]:
    """Yield what is asked when a group fails: tables are ``[{group: [others]}]``, or lists of others."""
    for entry in (entry for table in tables for entry in _listed(table)):
        if not isinstance(entry, Mapping):
            yield entry
        elif "model" in entry:
            yield entry["model"]
        else:
            for name, others in entry.items():
                if name in {group, "*"}:
                    yield from (other.get("model") if isinstance(other, Mapping) else other for other in others)


class _Registry:
    """What a router knows, by the names of its newer and its older releases."""

    def __init__(self, router: Any) -> None:
        self._router = router
        self._is_new = callable(getattr(type(router), "registry", None)) or hasattr(router, "registry")

    @property
    def fallbacks(self) -> list[Any]:
        holder = self._router.settings() if self._is_new else self._router
        return [getattr(holder, name, None) for name in _FALLBACKS]

    def deployments(self, group: Any) -> list[Any]:
        find = self._router.registry().deployments if self._is_new else self._router.get_model_list
        found = [_fields(deployment) for deployment in find(group) or ()]
        return found or [{"litellm_params": {"model": group}}]  # a deployment's id, or a model that no group names


def _fields(deployment: Any) -> Mapping[str, Any]:
    dump = getattr(deployment, "model_dump", None)
    fields: Mapping[str, Any] = dump(exclude_none=True) if callable(dump) else deployment
    return fields


def _maximum(options: Mapping[str, Any]) -> int | None:
    return next((options[name] for name in _MAXIMA if isinstance(options.get(name), int)), None)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []

"""Which models may answer a call: the one that is asked for, its fallbacks, and what a Router has under its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Candidates", "candidates"]

_FALLBACKS: Final = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_MAXIMA: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Candidates:
    """The names that prices are looked up by, who is asked first, and the longest answer (tokens) that they set."""

    models: tuple[str, ...]
    longest: int | None = None


def candidates(litellm: Any, router: Any, arguments: Mapping[str, Any]) -> Candidates:
    """Return the models that may answer."""
    found = list(_deployments(router, arguments) if router is not None else _asked(litellm, arguments))
    maxima = [longest for _, longest in found]
    longest = max((most for most in maxima if most is not None), default=None)
    names = tuple(dict.fromkeys(name for name, _ in found))
    return Candidates(names, longest if router is None or None not in maxima else None)


# without a router ----------------------------------------------------------------------------------------------------


def _asked(litellm: Any, arguments: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    yield _named(arguments.get("model"), arguments, litellm.model_alias_map), None
    for fallback in _listed(arguments.get("fallbacks") or litellm.model_fallbacks):
        if isinstance(fallback, Mapping):
            options = {**arguments, "model": None, "base_model": None, **fallback}
            options["model"] = options["model"] or arguments.get("model")
            yield _named(options["model"], options, litellm.model_alias_map), _maximum(fallback)
        else:
            yield _named(fallback, {}, litellm.model_alias_map), None
    larger = arguments.get("context_window_fallback_dict")
    if isinstance(larger, Mapping) and larger.get(arguments.get("model")):
        yield _named(larger[arguments["model"]], {}, {}), None


def _named(model: Any, options: Mapping[str, Any], aliases: Mapping[str, str]) -> str:
    """Return the name that a model has its price under."""
    name: str = options.get("base_model") or aliases.get(model, model)
    provider = options.get("custom_llm_provider")
    if provider and not str(name).startswith(f"{provider}/"):
        return f"{provider}/{name}"
    return name


# with one ------------------------------------------------------------------------------------------------------------


def _deployments(router: Any, arguments: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    registry = _Registry(router)
    groups = [arguments.get("model")]
    tables = [*registry.fallbacks, arguments.get("fallbacks"), *(arguments.get(name) for name in _FALLBACKS[1:])]
    for group in groups:
        for deployment in registry.deployments(group):
            yield _of_deployment(deployment, group)
        groups += [name for name in _next(tables, group) if name not in groups]


def _of_deployment(deployment: Mapping[str, Any], group: Any) -> tuple[str, int | None]:
    params, info = deployment.get("litellm_params") or {}, deployment.get("model_info") or {}
    name = info.get("base_model") or params.get("base_model") or params.get("model") or group
    name = group if "*" in str(name) else name  # a route for all models of a provider
    return _named(name, {"custom_llm_provider": params.get("custom_llm_provider")}, {}), _maximum(params)


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

"""Makes HTML of what a page read: the whole page for its first showing, its parts each time it changed."""

from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import Environment

from services.monitor.dashboard.frames import Frame


@dataclass(frozen=True, slots=True)
class Rendering:
    """The templates; `may_act`: there is an ingest that cancels and retries tasks."""

    templates: Environment
    may_act: bool

    def parts(self, names: Iterable[str], shown: object) -> list[Frame]:
        """Each of these parts, for the element of its name."""
        return [Frame(name, self._render(f"parts/{name}.html", shown=shown)) for name in names]

    def page(self, name: str, **shown: object) -> str:
        """A whole page."""
        return self._render(f"{name}.html", **shown)

    def _render(self, name: str, **shown: object) -> str:
        return self.templates.get_template(name).render(may_act=self.may_act, **shown)

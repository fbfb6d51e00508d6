"""What all dashboards have in common: the variables at the top, the links to one another, and the marks of events."""

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

TAG = "taskandgo"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

#: A version that was not there two minutes ago; and alerts while they fire.
DEPLOYS = "count by (version) (taskandgo_build_info) unless count by (version) (taskandgo_build_info offset 2m)"
FAULTS = 'ALERTS{alertname=~"TaskAndGo.*", alertstate="firing"}'


def frame(name: str, title: str, description: str) -> Dashboard:
    """An empty dashboard; `name` is its file's and the end of its address."""
    return (
        Dashboard(f"TaskAndGo / {title}")
        .uid(f"taskandgo-{name}")
        .description(description)
        .tags([TAG])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables([_datasource(), _choice("pool", "Pool"), _choice("priority", "Priority")])
        .annotations([_marks("Deploys", DEPLOYS, "blue"), _marks("Faults", FAULTS, "red")])
        .link(_others())
    )


def _datasource() -> DatasourceVariable:
    return DatasourceVariable("datasource").label("Data source").type("prometheus")


def _choice(label: str, title: str) -> QueryVariable:
    return (
        QueryVariable(label)
        .label(title)
        .datasource(SOURCE)
        .query({"query": f"label_values(taskandgo_tasks_waiting, {label})", "refId": label})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _marks(name: str, expression: str, color: str) -> AnnotationQuery:
    return AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(color).expr(expression)


def _others() -> DashboardLink:
    return (
        DashboardLink("TaskAndGo")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .keep_time(True)
        .include_vars(True)
    )

"""The shape of the file, for pydantic: every key with its type, its default and what it means."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from watcher.config import references, units, windows
from watcher.config.document import Filled
from watcher.ledger import address

WHOLE = 100
_REFERENCE = {"type": "string", "pattern": r"^\$\{[^}]*\}$"}


def _text_schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": pattern, "examples": [*examples]}, _REFERENCE]})


def _number_schema(kind: str, **bounds: float) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": kind, **bounds}, _REFERENCE]})


def _rising(steps: list[int]) -> list[int]:
    if any(second <= first for first, second in pairwise(steps)):
        raise ValueError("must rise from step to step")
    if not steps or steps[-1] != WHOLE or steps[0] < 1:
        raise ValueError("must be percentages above 0, the last of them 100")
    return steps


def _format(value: object) -> int:
    if value != 1 or isinstance(value, bool):
        raise ValueError("is not a format that is known; write 1")
    return 1


def _number(value: object) -> object:
    """What the environment says about a number is text; it is read as one."""
    if isinstance(value, Filled):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return value


def _switch(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, Filled) else value


def _amount(value: object) -> units.Amount:
    return units.amount(_number(value))


def _metrics(names: list[str]) -> list[str]:
    from evaluation.statistics import NotComparable, metric

    for name in names:
        try:
            metric(name)
        except NotComparable as error:
            raise ValueError(f"names no metric that is known: {error}") from error
    return names


def _ledger(value: str) -> str:
    problem = address.problem(value)
    if problem is not None:
        raise ValueError(problem)
    return value


Text = Annotated[str, Field(min_length=1)]
Ledger = Annotated[
    str,
    AfterValidator(_ledger),
    _text_schema(r"^(sqlite:///|table://|table\+env://).*[^/]$", "table+env://AzureWebJobsStorage/ledger"),
]
Number = Annotated[float, BeforeValidator(_number), _number_schema("number")]
Duration = Annotated[float, PlainValidator(units.seconds), _text_schema(units.DURATION, "15m", "24h")]
Positive = Annotated[float, PlainValidator(units.positive_seconds), _text_schema(units.DURATION, "60s", "1h")]
Size = Annotated[int, PlainValidator(units.size), _text_schema(units.SIZE, "512m", "1g")]
Amount = Annotated[
    units.Amount,
    PlainValidator(_amount),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": units.SHARE, "examples": ["1%"]},
                _REFERENCE,
            ]
        }
    ),
]
Share = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1), _number_schema("number", minimum=0, maximum=1)]
Ratio = Annotated[float, BeforeValidator(_number), Field(ge=1), _number_schema("number", minimum=1)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=1), _number_schema("integer", minimum=1)]
NewsName = Literal["won", "lost", "champion_changed", "rolled_back", "order_failed", "held", "stuck"]
Confidence = Annotated[
    float,
    BeforeValidator(_number),
    Field(gt=0.5, lt=1),
    _number_schema("number", exclusiveMinimum=0.5, exclusiveMaximum=1),
]
Margin = Annotated[float, BeforeValidator(_number), Field(gt=0), _number_schema("number", exclusiveMinimum=0)]
Version = Annotated[int, BeforeValidator(_number), Field(ge=0), _number_schema("integer", minimum=0)]
Days = Annotated[str, AfterValidator(windows.days), _text_schema(windows.DAYS, "mon-thu", "sat,sun")]
Time = Annotated[str, AfterValidator(windows.time_of_day), _text_schema(windows.TIME, "09:00", "24:00")]
Zone = Annotated[str, AfterValidator(windows.zone), WithJsonSchema({"type": "string", "examples": ["UTC"]})]
Date = Annotated[str, BeforeValidator(windows.date), _text_schema(windows.DATE, "2026-12-21")]
Better = Literal["higher", "lower"]
Percent = Annotated[
    int, BeforeValidator(_number), Field(ge=0, le=100), _number_schema("integer", minimum=0, maximum=100)
]
Port = Annotated[
    int, BeforeValidator(_number), Field(ge=1, le=65_535), _number_schema("integer", minimum=1, maximum=65_535)
]
Address = Annotated[str, Field(min_length=1), WithJsonSchema({"type": "string", "pattern": references.ALONE})]
Format = Annotated[int, PlainValidator(_format), WithJsonSchema({"const": 1})]
Switch = Annotated[bool, BeforeValidator(_switch), WithJsonSchema({"anyOf": [{"type": "boolean"}, _REFERENCE]})]


class Block(BaseModel):
    """A mapping in the file: nothing but the keys that are defined, nothing converted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class Registry(Block):
    """Where the models are registered."""

    uri: Text = Field(
        description="Registry URI as MLflow takes it. A database needs its driver, which no extra here installs:"
        " `psycopg[binary]` for `postgresql://`, `psycopg2-binary` for `postgresql+psycopg2://`."
    )
    tracking_uri: Text | None = Field(default=None, description="Tracking URI as MLflow takes it; by default the same.")
    marks: Literal["auto", "alias", "tag"] = Field(
        default="auto", description="How the champion is marked: by alias, by tag, or by what the registry can do."
    )


class Poll(Block):
    """How often is looked."""

    changes: Positive = Field(default=60.0, description="For new versions.")
    marks: Positive = Field(default=60.0, description="For moved aliases and holds.")
    evidence: Positive = Field(default=60.0, description="For metrics and approvals of versions that wait.")
    resync: Positive = Field(default=3600.0, description="At everything, for deletions and drift.")


class Limits(Block):
    """How much may happen at once."""

    rollouts_at_once: Count = Field(default=3, description="Models that may roll out at the same time.")


class Notify(Block):
    """Who is notified, of what, through Apprise."""

    urls: Annotated[
        list[Address],
        Field(min_length=1, description="Addresses as Apprise takes them, each in a variable of the environment."),
    ]
    events: list[NewsName] = Field(
        default=["won", "champion_changed", "rolled_back", "order_failed", "held", "stuck"],
        description="What is told; by default everything but `lost`.",
    )


class Primary(Block):
    """The metric that decides."""

    metric: Text = Field(description="Name of the metric as it was logged.")
    better: Better = Field(default="higher", description="Which way the metric is better.")
    min_gain: Amount = Field(
        default=units.Amount(0.0, relative=False),
        description='Least gain over the champion: absolute (0.002), or a share of its value ("1%").',
    )
    confidence: Confidence | None = Field(
        default=None, description="Of the gain's lower bound, where the metric is evaluated; 0.95 by default."
    )
    non_inferior: Margin | None = Field(
        default=None,
        description="Instead of a gain: how much worse than the champion an evaluated metric may be, at its bound.",
    )


class Guard(Block):
    """A metric that may not get worse than the champion's by more than a bound."""

    metric: Text = Field(description="Name of the metric as it was logged.")
    max_drop: Amount = Field(description='Largest loss: absolute (0.01), or a share of the champion\'s value ("1%").')
    better: Better = Field(default="higher", description="Which way the metric is better.")
    each: Text | None = Field(
        default=None, description="A column of evaluate.slices: the guard holds in each of its slices."
    )


class Holdout(Block):
    """Rows that no model was trained on."""

    uri: Text = Field(
        description="A file, a folder or a table, here or in a store; runs:/RUN/NAME for a data set that MLflow logged;"
        " on azureml also azureml:NAME:VERSION or azureml:NAME@latest."
    )
    format: Literal["parquet", "csv", "delta", "mlflow"] | None = Field(
        default=None, description="By default told by the URI."
    )
    version: Version | None = Field(default=None, description="Of a Delta table; the newest by default.")


class Slice(Block):
    """Every value of one column, looked at by itself."""

    column: Text = Field(description="Column of the holdout.")
    min_rows: Count = Field(default=100, description="A slice of fewer rows is named, and not measured.")


class EvaluationJob(Block):
    """What a runner other than local is told. databricks: job_id; azureml: workspace, compute, environment."""

    job_id: Count | None = Field(default=None, description="databricks: the number of the job that is run.")
    host: Text | None = Field(
        default=None,
        description="databricks: URL of the workspace; without it: DATABRICKS_HOST, or what the profile says.",
    )
    profile: Text | None = Field(
        default=None, description="databricks: section of its configuration file that says how to sign in."
    )
    workspace: Text | None = Field(
        default=None, description="azureml: the workspace, as SUBSCRIPTION/RESOURCE-GROUP/NAME or its resource id."
    )
    master: Text | None = Field(
        default=None,
        description="spark: local[N] for so many cores of this machine, or spark://HOST:PORT for a cluster of your own;"
        " local[*], every core, by default.",
    )
    compute: Text | None = Field(default=None, description="azureml: cluster of the workspace that the jobs run on.")
    environment: Text | None = Field(
        default=None, description="azureml: environment of the workspace that the jobs run in, as NAME:VERSION."
    )


class Evaluate(Block):
    """Champion and challenger are scored on the same rows; these metrics are measured, and not believed as logged."""

    data: Holdout = Field(description="Rows that no model was trained on.")
    target: Text = Field(description="Column with the truth.")
    metrics: Annotated[list[Text], Field(min_length=1), AfterValidator(_metrics)] = Field(
        description="What is measured: scikit-learn's names, MLflow's, or a package's own."
    )
    slices: list[Slice] = Field(default=[], description="Columns whose values are looked at by themselves.")
    group: Text | None = Field(
        default=None, description="Column whose equal values belong together, where rows are not independent."
    )
    runner: Literal["local", "spark", "databricks", "azureml"] = Field(
        default="local", description="Where the models are scored."
    )
    home: Text | None = Field(
        default=None,
        description="Folder for requests and results: of databricks one of a Unity Catalog volume, /Volumes/…; of"
        " azureml a path in the workspace's own store, evaluations by default.",
    )
    job: EvaluationJob | None = Field(
        default=None, description="What runs the evaluations, on spark, databricks or azureml."
    )
    max_rows: Count = Field(default=1_000_000, description="Of a larger holdout, so many rows are used, evenly spread.")
    max_overlap: Share = Field(
        default=0.05, description="Share of the rows that may be among those a version was trained on."
    )
    memory: Size = Field(default=4 * 2**30, description="Above it a model that is scored is ended.")
    timeout: Positive = Field(default=3600.0, description="After it a model that is scored is ended.")


class Freeze(Block):
    """Days on which no winner goes."""

    first: Date = Field(description="The first day, such as 2026-12-21.")
    last: Date = Field(description="The last day.")


class ChangeWindow(Block):
    """When winners may go."""

    days: Days = Field(default="mon-sun", description="Days of the week: mon-thu, or mon,wed,fri.")
    from_: Time = Field(default="00:00", alias="from", description="Time of the day at which it opens.")
    to: Time = Field(default="24:00", description="Time of the day at which it closes.")
    zone: Zone = Field(default="UTC", description="Time zone, such as Europe/Amsterdam.")
    freezes: list[Freeze] = Field(default=[], description="Days on which it stays closed.")


class EvidenceRules(Block):
    """What the compared numbers have to be."""

    same_data: Literal["when_known", "required", "ignore"] = Field(
        default="when_known", description="Whether both versions must be measured on the same data set."
    )
    wait_at_most: Duration = Field(default=86_400.0, description="How long missing evidence is waited for.")


class Approval(Block):
    """A person has to approve each version."""

    tag: Text = Field(description="Version tag that approves, with any text.")
    expires: Positive | None = Field(default=None, description="How long an approval holds; for ever by default.")


class Policy(Block):
    """The rules by which a candidate beats the champion."""

    primary: Primary = Field(description="The metric that decides.")
    floors: dict[str, Number] = Field(default={}, description="Metric: least value.")
    ceilings: dict[str, Number] = Field(default={}, description="Metric: largest value.")
    guards: list[Guard] = Field(default=[], description="Metrics that may not get worse.")
    evidence: EvidenceRules = Field(default=EvidenceRules(), description="What the compared numbers have to be.")
    flavors: list[Text] = Field(default=[], description="MLflow flavours that are allowed; every one by default.")
    signature: Switch = Field(
        default=True, description="Whether a signature that accepts what the champion accepts is required."
    )
    min_age: Duration = Field(default=0.0, description="How old a version must be.")
    approval: Approval | None = Field(default=None, description="A person has to approve each version.")
    evaluate: Evaluate | None = Field(
        default=None, description="Champion and challenger are scored on the same rows; by default nothing is."
    )
    change_window: ChangeWindow | None = Field(default=None, description="When winners may go; always by default.")


class Analysis(Block):
    """When a canary step is good enough."""

    min_requests: Count = Field(default=200, description="Fewer requests say nothing.")
    max_error_increase: Share = Field(default=0.005, description="Share of failed requests above the champion's.")
    max_p95_ratio: Ratio = Field(default=1.5, description="95th percentile of latency over the champion's.")
    max_disagreement: Share | None = Field(
        default=None,
        description="Share of the mirrored answers that may differ from the champion's; by default they are only told.",
    )
    no_traffic: Literal["wait", "probe"] = Field(
        default="wait", description="With too few requests: wait for a person, or go on by probe."
    )


class Probe(Block):
    """What a release is asked before it gets traffic; one of the two."""

    example: Literal["model"] | None = Field(default=None, description="The model's own input example.")
    file: Text | None = Field(default=None, description="A file in MLflow's scoring format.")


class Rollout(Block):
    """How a challenger goes to its targets."""

    mirror: Percent = Field(
        default=0,
        description="Percent of the requests that are copied to the challenger, for one bake, before its canary; no"
        " client waits for its answers or sees them. Every endpoint must be a local-endpoint or azureml-online (50"
        " at most).",
    )
    canary: Annotated[list[int], AfterValidator(_rising)] = Field(
        default=[10, 50, 100], description="Percent of the traffic, step by step; the last is 100."
    )
    bake: Duration = Field(default=900.0, description="How long each canary step lasts.")
    analysis: Analysis = Field(default=Analysis(), description="When a canary step is good enough.")
    probe: Probe = Field(default=Probe(example="model"), description="What a release is asked before it gets traffic.")
    keep_warm: Duration = Field(default=86_400.0, description="How long the old release stays after the crown.")
    deadline: Positive = Field(default=7200.0, description="A rollout that takes longer is rolled back.")


class Target(BaseModel):
    """One place where the model is served; the other keys belong to the kind."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")] = Field(
        description="Short name, one of its own within the model: letters, digits, '-' and '_'."
    )
    kind: Text = Field(description="What moves it, for example local-endpoint or azureml-online.")


class LocalEndpoint(Block):
    """An endpoint on the own machine."""

    name: Any = Field(default=None, description="Short name.")
    kind: Literal["local-endpoint"] = Field(default="local-endpoint", description="This kind.")
    port: Port = Field(description="Public port.")
    host: Text = Field(default="127.0.0.1", description="Address to listen at.")
    gateway: Text = Field(default="state/gateway", description="Folder of the gateway that owns the port.")
    memory: Size | None = Field(default=None, description="Memory above which a release is replaced.")
    env: Literal["auto", "local"] = Field(
        default="auto", description="auto: an environment of its own for a model that needs one. local: never."
    )
    autostart: Switch = Field(default=True, description="Whether the gateway is started where none runs.")


class Model(Block):
    """One model, or all models that match a pattern."""

    name: Text | None = Field(default=None, description="Registered model; a name beats a match.")
    match: Text | None = Field(default=None, description="Pattern of registered models, for example prod.fraud.*")
    mode: Literal["deploy", "advise"] = Field(default="deploy", description="advise stops after the verdict.")
    policy: Text = Field(description="One of policies.")
    rollout: Text = Field(default="default", description="One of rollouts.")
    targets: list[Target] = Field(default=[], description="Everywhere the model is served; may be left out to advise.")


class File(Block):
    """Settings of the registry watcher."""

    version: Format = Field(description="Of this format.")
    owner: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")] = Field(
        description="Tagged on all we create, one of its own for each watcher: letters, digits, '.', '_' and '-'."
    )
    registry: Registry = Field(description="Where the models are registered.")
    ledger: Ledger = Field(
        default="sqlite:///state/ledger.db",
        description="Where the memory is kept: sqlite:///FILE; table://ACCOUNT/TABLE, a table of Azure Storage by one's"
        " own identity; or table+env://VARIABLE/TABLE, one whose connection is in the environment.",
    )
    poll: Poll = Field(default=Poll(), description="How often is looked.")
    limits: Limits = Field(default=Limits(), description="How much may happen at once.")
    notify: Notify | None = Field(default=None, description="Who is notified, of what; nobody by default.")
    policies: dict[str, Policy] = Field(description="Name: rules by which a candidate beats the champion.")
    rollouts: dict[str, Rollout] = Field(default={}, description="Name: how a challenger goes to its targets.")
    models: Annotated[list[Model], Field(min_length=1)] = Field(description="What is watched.")

"""What the people of the demonstration are called, and what they say, meet and measure. No real person, no real account."""

from __future__ import annotations

__all__ = ["ACTIONS", "BLOCKS", "CHARTER", "DECISIONS", "FAILURES", "FOCUS", "METRICS", "NAMES", "NOTES"]
__all__ += ["OWN", "RETRO", "TEAMS", "WORK"]

NAMES = (
    *("Ana", "Bilal", "Chen", "Dagny", "Emeka", "Farah", "Goran", "Hana", "Idris", "Jonas"),
    *("Keiko", "Liam", "Mara", "Nuno", "Olga", "Priya", "Quentin", "Rosa", "Samir", "Tove"),
    *("Umar", "Vera", "Wanda", "Ximena", "Yusuf", "Zoé", "Aiko", "Bruno", "Carmen", "Dmitri"),
    *("Eszter", "Felix", "Grace", "Håkon", "Ines", "Jamal", "Kaja", "Luca", "Minh", "Noor"),
)

TEAMS = ("blue", "green", "amber", "violet", "red", "teal", "silver", "gold")

# Why a card cannot go on, and who can help. By workstream; "" for any.
BLOCKS: dict[str, tuple[tuple[str, str], ...]] = {
    "foundations": (
        ("The permissions boundary forbids iam:CreateRole in this account", "Security desk"),
        (
            "Two owners of the organization must agree to the service control policy",
            "Cloud platform team",
        ),
        ("The identity provider sends no group claim", "Identity team"),
    ),
    "data_engineering": (
        ("The source bucket is encrypted with a key that our role may not use", "Security desk"),
        ("No legal word yet on keeping age bands with the features", "Data protection officer"),
        ("Two months of events are missing in the delivery", "Owner of the billing data"),
        ("Nobody knows what contract type 7 means", "Owner of the billing data"),
    ),
    "model_engineering": (
        ("Quota: 0 instances of ml.m5.2xlarge for training jobs in this region", "AWS account team"),
        ("The business has not said what a missed customer costs", "Product owner"),
        ("The endpoint's subnet has no route to S3", "Cloud platform team"),
        ("Quota: one endpoint instance, and the canary needs two", "AWS account team"),
    ),
    "mlops": (
        ("The code host refuses OpenID Connect from our runner", "Cloud platform team"),
        ("No one may pass the pipeline's role: iam:PassRole is denied", "Security desk"),
        ("The topic for alarms needs an address that someone answers at night", "Operations lead"),
    ),
    "": (
        ("Waiting for somebody who can decide", "Sponsor"),
        ("Who knows it is in another meeting until three", "Product owner"),
        ("Nobody from security is in the room", "Security desk"),
    ),
}

# How a run fails: the cell's id, the error, its message, and what somebody writes once it is mended.
FAILURES: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "F1": (
        (
            "check-must",
            "CheckFailed",
            "✗ Every role may do what it must · got 2 refused, expected 0",
            "The role lacked kms:GenerateDataKey. Added to the policy file.",
        ),
    ),
    "D2": (
        (
            "check-bias",
            "CheckFailed",
            "✗ Weighted, every group of train has the same share of positives · got 0.04, expected at most 0.01",
            "Weights were made before the duplicates went. Turned round, and it holds.",
        ),
    ),
    "D3": (
        (
            "wait",
            "ClientError",
            "AlgorithmError: FileNotFoundError: /opt/ml/processing/input/train/part-00000.parquet",
            "The input pointed at yesterday's prefix. Taken from D2 now.",
        ),
    ),
    "M1": (
        (
            "check-gain",
            "CheckFailed",
            "✗ Boosting keeps up with the baseline on validation · got -0.01, expected at least 0.00",
            "Learning rate back to 0.05; it had been tried by hand and forgotten.",
        ),
    ),
    "M5": (
        (
            "check-champion",
            "CheckFailed",
            "✗ The champion passes every gate and is approved · got 1 gate failed, expected none",
            "The calibration gate. M2 calibrates by isotonic regression now.",
        ),
    ),
    "M6": (
        (
            "deploy",
            "ResourceLimitExceeded",
            "The account-level service limit 'ml.m5.large for endpoint usage' is 1 Instances",
            "One instance until the quota is raised; the canary takes turns.",
        ),
    ),
    "O3": (
        (
            "run",
            "ClientError",
            "AccessDeniedException: User is not authorized to perform: iam:PassRole",
            "PassRole for the pipeline's role only, with the condition on the service.",
        ),
    ),
    "": (
        (
            "setup",
            "MissingInput",
            "Something that this runbook takes is not there yet.",
            "It was: run in another account. Ran it here.",
        ),
        (
            "wait",
            "ClientError",
            "ThrottlingException: Rate exceeded",
            "Forty of us at once. Ran it again after a coffee.",
        ),
        (
            "read",
            "KeyError",
            "'customer_id'",
            "The column is called client in our table; changed in plan.yml.",
        ),
    ),
}

# What a runbook measures: where it starts, and what a day of work adds.
METRICS: dict[str, dict[str, tuple[float, float]]] = {
    "D1": {"rows": (20_000, 1_500), "duplicates": (412, -60), "kappa rules": (0.71, 0.04)},
    "D2": {"features": (19, 2), "left_out_columns": (2, 0), "gap_between_groups_weighted": (0.006, -0.001)},
    "D3": {"features": (27, 3), "gain_in_folds": (0.021, 0.006), "gain_on_validation": (0.017, 0.005)},
    "D4": {"segments": (3, -1), "suspects": (230, -40), "gain": (0.008, 0.003)},
    "D5": {"gaps_at_first": (11, 0), "gaps_left": (5, -2), "backlog": (5, -2)},
    "D6": {"records": (20_000, 1_500), "read_p50_ms": (7.2, -0.8), "read_p99_ms": (21.0, -3.0)},
    "M1": {"auc": (0.801, 0.013), "baseline_auc": (0.774, 0.004), "gain": (0.027, 0.009)},
    "M2": {"auc": (0.832, 0.009), "threshold": (0.31, -0.01), "cost_after": (41_200, -2_900)},
    "M3": {"auc": (0.826, 0.008), "trials": (24, 8), "gain": (0.012, 0.004)},
    "M4": {"auc": (0.829, 0.009), "features": (41, 4), "groups_kept": (3, 1), "gain": (0.014, 0.005)},
    "M5": {"auc": (0.825, 0.008), "auc_low": (0.811, 0.009), "auc_high": (0.839, 0.007), "gates_failed": (1, -0.5)},
    "M6": {"p50_ms": (9.4, -0.6), "p99_ms": (31.0, -4.0), "requests_per_second": (210, 25)},
    "M7": {"false_alarms": (0, 0), "drifted_features": (3, 0), "largest_psi": (0.41, 0.02)},
    "O2": {"gaps": (7, -1), "share": (0.58, 0.03)},
    "O3": {"job_seconds": (212, -18), "seconds_saved": (160, 22)},
    "O4": {"figures": (18, 0), "on_target": (9, 3), "breach": (4, -2), "missing": (3, -1)},
    "O5": {"breaches": (4, -2), "open_actions": (5, -2)},
}  # fmt: skip

NOTES = (
    "The second run took half the time: the cache works.",
    "Ask the owner of the data what an empty contract means.",
    "Written down in the glossary, so that nobody asks again.",
    "It holds on last year's data as well.",
    "Paired with the platform people; ten minutes instead of a ticket.",
    "We left one column out on purpose, see the dictionary.",
    "The plot says more than the table. Shown at the standup.",
    "Parked: how long do we keep raw events? For the retro.",
    "Costs 0.38 USD a run. Nobody minds running it again.",
    "Tried spot instances: same result, a third of the price 🎉",
    "Die Grenzwerte kommen aus dem Fachbereich, nicht von uns.",
    "If churned > 1 and tenure < 2, the record is <unknown> & should go.",
)

FOCUS: dict[str, tuple[str, ...]] = {
    "foundations": (
        "Everybody can log in, and nobody can do what they must not",
        "No attack on a guardrail goes through",
        "One page that says who may do what",
    ),
    "data_engineering": (
        "From raw files to features that the model may see",
        "Wrong labels found, and the owner told",
        "Every gap in governance has an owner",
    ),
    "model_engineering": (
        "A first model in the registry, better than the baseline",
        "One champion that passes every gate",
        "The champion serves, and rings when the data drifts",
    ),
    "mlops": (
        "Know what the framework lacks before building",
        "A pipeline that another table can go through",
        "Figures that the sponsor reads without us",
    ),
    "": ("Finish what is started",),
}

# What a standup asks for, and what was decided, by whom.
DECISIONS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "foundations": (
        (
            "May pairs share one role on day 1?",
            "Yes, until the personas are in place; then never again.",
            "Security desk",
        ),
        (
            "Who holds the break-glass account at night?",
            "Operations, with an alarm to the sponsor.",
            "Sponsor",
        ),
    ),
    "data_engineering": (
        (
            "Do age bands stay in the features?",
            "No. They measure fairness and are kept out of the model.",
            "Data protection officer",
        ),
        ("Is last year's table good enough for today?", "Yes, with its gaps named.", "Product owner"),
    ),
    "model_engineering": (
        ("What does a missed customer cost?", "120 euros; a call costs 9.", "Product owner"),
        (
            "Is 0.82 on the test set enough to go live?",
            "Yes, to ten per cent of the customers.",
            "Sponsor",
        ),
    ),
    "mlops": (
        ("Adopt the framework, or build on pipelines?", "Build: it is deprecated.", "Sponsor"),
        ("Who answers when an alarm rings?", "The team that trained the model, by rota.", "Operations lead"),
    ),
    "": (),
}

RETRO: dict[str, tuple[str, ...]] = {
    "liked": (
        "Security sat with us, not behind a ticket queue",
        "The board: everybody saw the same thing",
        "A red card was help within the hour",
        "We ran it, and it ran",
        "Lunch without laptops",
        "Evidence instead of opinions",
    ),
    "lacked": (
        "Quotas should have been raised before we came",
        "Nobody in the room could decide on age bands",
        "A second screen for the pairs at the back",
        "An hour lost until the first login",
        "Time to write down what we learned",
    ),
    "learned": (
        "What SHAP says of our customers",
        "Roles first: everything else waits for them",
        "A failed run with a reason is progress",
        "Our data has more owners than we thought",
        "Half a day of labelling was worth more than tuning",
    ),
    "longed_for": (
        "The business in the room on day 1",
        "A data catalogue that is true",
        "Fewer accounts, clearer names",
        "Two more days",
        "Coffee that is not from the machine",
    ),
}

# Actions of a retro: title, role, minutes, what shows that it is done.
ACTIONS = (
    ("Ask for the endpoint quota today, not tomorrow", "AWS account team", 15, "The request has a number"),
    ("Put the business at the model engineers' table", "Product owner", 30, "Somebody sits there at 10:00"),
    ("Write the names of data owners on the wall", "Data lead", 20, "Every zone of the lake has a name"),
    ("One page on how to get in, with pictures", "Foundations lead", 45, "A guest gets in without help"),
    ("Move standups to the wall screen", "Facilitator", 10, "Nobody looks at a laptop"),
    ("Park long talks, and come back at 15:00", "Facilitator", 10, "The parking lot is empty at 17:00"),
    ("Agree who answers an alarm in January", "Operations lead", 30, "A rota with three names"),
    ("Show the sponsor the dashboard, not slides", "MLOps lead", 30, "The sponsor opened it alone"),
)

# Work that the runbooks of these cards find: key, title, role, minutes, criterion.
WORK: dict[str, tuple[tuple[str, str, str, int, str], ...]] = {
    "D5": (
        ("retention", "Say how long raw events are kept", "data owner", 30, "A rule on the bucket deletes them"),
        ("owner", "Name an owner for the billing table", "data steward", 20, "The catalogue shows a name"),
        ("consent", "Record which customers agreed to scoring", "data protection officer", 60, "The column is filled"),
    ),
    "O2": (
        ("alarm", "The framework has no way back from an alarm", "ML engineer", 60, "An alarm starts the pipeline"),
        ("catalogue", "Models are not in the catalogue", "MLOps engineer", 30, "Each version is listed with its owner"),
    ),
}  # fmt: skip

# What a workstream sets itself: title, minutes, what shows that it is done.
OWN: dict[str, tuple[tuple[str, int, str], ...]] = {
    "foundations": (
        ("Draw who may enter which account", 45, "One picture on the wall"),
        ("Walk a guest through the first login", 30, "A guest is in without help"),
        ("Try the break-glass account once", 30, "The alarm rang"),
        ("List what security wants to see on Friday", 40, "Security ticked the list"),
        ("Hand the roles to the platform team", 60, "They changed one themselves"),
    ),
    "data_engineering": (
        ("Write the glossary of the table", 60, "No column without a sentence"),
        ("Ask the owners what may leave the lake", 45, "A yes or no per zone"),
        ("Show the wrong labels to the call centre", 45, "They agreed on ten examples"),
        ("Draw where each feature comes from", 40, "One picture per feature group"),
        ("Agree when the table is delivered from now on", 30, "A date each month"),
    ),
    "model_engineering": (
        ("Agree what a good model is, in euros", 60, "A number that the sponsor repeats"),
        ("Read what other firms do about churn", 40, "Five lines on the board"),
        ("Explain ten customers by hand", 50, "The call centre nodded"),
        ("List what the model must never do", 30, "Each line is a test"),
        ("Show the champion to the sponsor", 30, "The sponsor asked a question"),
    ),
    "mlops": (
        ("Draw today's way of a model to production", 50, "Every hand-over has a name"),
        ("Count what a release costs today", 40, "Hours and people"),
        ("Agree who may approve a model", 30, "Two names"),
        ("Put the pipeline into their own repository", 60, "Their build is green"),
        ("Plan the first Monday after the event", 45, "Names at four tasks"),
    ),
    "": (
        ("Write down what we know", 45, "One page"),
        ("Show it to the neighbours", 30, "They asked a question"),
    ),
}

CHARTER = {
    "goal": "Call the customers who are about to leave, and only them",
    "problem": "Which customers leave next month? Binary classification, one row per customer and month",
    "criteria": [
        {"name": "The model tells leavers from stayers", "figure": "M5.auc", "at_least": 0.82},
        {"name": "It answers in time for a call centre", "figure": "M6.p99_ms", "at_most": 50},
        {"name": "Quiet months ring no alarm", "figure": "M7.false_alarms", "at_most": 0},
    ],
    "scope_in": ["Contracts of private customers", "One region"],
    "scope_out": ["Business customers", "The call itself"],
    "pending": ["What does a missed customer cost?", "Do age bands stay in the features?"],
    "asked": [
        {"decision": "What does a missed customer cost?", "by": "Product owner", "day": 1},
        {"decision": "Do age bands stay in the features?", "by": "Data protection officer", "day": 1},
    ],
    "assumptions": ["Next month's leavers are known by the 5th"],
}

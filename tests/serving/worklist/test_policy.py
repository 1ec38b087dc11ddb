"""The policy file is checked whole, and a hospital's own model is placed by the severities of its card."""

from pathlib import Path

import pytest

from models.card import ClassSpec, Code, Severity
from serving.worklist.policy import SHIPPED_POLICY, DoctorPriority, PolicyError, Tier, read_policy


def spec(key: str, severity: Severity = Severity.ROUTINE) -> ClassSpec:
    return ClassSpec(
        key=key,
        name_en=key,
        name_zh=key,
        code=Code(value="1", meaning=key),
        severity=severity,
        is_finding=True,
    )


def edited(tmp_path: Path, old: str, new: str) -> Path:
    """Write the shipped policy with one passage changed."""
    text = SHIPPED_POLICY.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "policy.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        ("derm-lesion", "akiec bcc bkl df mel nv vasc"),
        ("cxr-pneumonia", "normal pneumonia"),
        ("head-ct-haemorrhage", "none haemorrhage"),
    ],
)
def test_the_shipped_policy_names_every_class_of_the_shipped_models(model: str, keys: str) -> None:
    assert set(read_policy().model_minutes[model]) == set(keys.split())


def test_class_times_come_in_the_order_of_the_logits() -> None:
    classes = [spec("nv"), spec("mel")]

    assert list(read_policy().class_minutes("derm-lesion", classes)) == [1440.0, 60.0]


def test_a_class_that_no_policy_names_gets_the_time_of_its_severity() -> None:
    classes = [spec("stroke", Severity.CRITICAL), spec("clear", Severity.LOW)]

    assert list(read_policy().class_minutes("our-own-model", classes)) == [15.0, 4320.0]


def test_stat_is_as_short_as_the_shortest_class() -> None:
    policy = read_policy()
    shortest = min(min(times.values()) for times in policy.model_minutes.values())

    assert policy.doctor_minutes[DoctorPriority.STAT] <= shortest


def test_an_unscored_study_has_less_time_than_any_models_harmless_class() -> None:
    policy = read_policy()

    assert all(policy.unscored_minutes < max(times.values()) for times in policy.model_minutes.values())


def test_routine_neither_hastens_nor_delays_what_the_model_says() -> None:
    policy = read_policy()
    longest = max(
        [*policy.severity_minutes.values(), *(max(times.values()) for times in policy.model_minutes.values())]
    )

    assert policy.doctor_minutes[DoctorPriority.ROUTINE] == longest


@pytest.mark.parametrize(
    ("minutes", "tier"),
    [
        (15.0, Tier.CRITICAL),
        (30.0, Tier.CRITICAL),
        (30.1, Tier.URGENT),
        (240.0, Tier.URGENT),
        (480.0 * (1 + 1e-15), Tier.URGENT),
        (1440.0, Tier.ROUTINE),
        (1441.0, Tier.LOW),
        (4320.0, Tier.LOW),
    ],
)
def test_a_tier_holds_its_bound(minutes: float, tier: Tier) -> None:
    assert read_policy().tier(minutes) is tier


def test_the_version_follows_the_figures_and_not_the_words(tmp_path: Path) -> None:
    shipped = read_policy()

    reworded = read_policy(edited(tmp_path, "ours: harmless; the next day", "ours: reworded"))
    changed = read_policy(edited(tmp_path, "\nminutes = 480\n", "\nminutes = 470\n"))

    assert reworded.version == shipped.version
    assert changed.version != shipped.version
    assert len(shipped.version) == 12


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("minutes = 240\nsource", "minutes = 5\nsource", r"unscored \(5 min\) is shorter than doctor\.stat"),
        ("minutes = 240\nsource", "minutes = 1440\nsource", "known to be harmless"),
        ("[doctor.stat]\nminutes = 15", "[doctor.stat]\nminutes = 20", r"is shorter than doctor\.stat"),
        ("[doctor.urgent]\nminutes = 60", "[doctor.urgent]\nminutes = 10", "times of doctor must rise"),
        ("critical_up_to_minutes = 30", "critical_up_to_minutes = 3000", "times of tiers must rise"),
        ("[severity.low]", "[severity.lowest]", "severity"),
        ("\nminutes = 480\n", "\nminutes = -1\n", r"models\.derm-lesion\.bcc\.minutes: .*greater than 0"),
        ("\nminutes = 480\n", "\nminutes = nan\n", r"models\.derm-lesion\.bcc\.minutes"),
        ("\nminutes = 480\n", "\nhours = 8\n", r"models\.derm-lesion\.bcc"),
        ("\nminutes = 480\n", "\nminutes = \n", "is no TOML"),
        ('source = "ours; see the argument above"', "", r"unscored\.source: Field required"),
        ("schema_version = 1", "schema_version = 2", "schema_version"),
    ],
)
def test_a_policy_that_breaks_a_rule_is_refused_by_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = edited(tmp_path, old, new)

    with pytest.raises(PolicyError, match=message) as caught:
        read_policy(path)

    assert caught.value.path == path


def test_a_missing_policy_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"nowhere\.toml: cannot be read: No such file"):
        read_policy(tmp_path / "nowhere.toml")

"""The Helm chart: rendered, held against the schemas of Kubernetes, and its settings given to the program."""

import json
import subprocess

import pytest
from harness import place
from test_packages import need, version

pytestmark = [pytest.mark.packages, pytest.mark.long]
CHART = place.ROOT / "packaging/helm/sessionlake"
FULL = "lake=s3://bucket/prefix,tls.secret=t,credentials.secret=c,storageSecret=s,serviceMonitor.enabled=true,"
FULL += "serviceMonitor.basicAuth=m,prometheusRule.enabled=true,replicas=2"
# helm from the sources knows no version of its own.
KUBERNETES = "1.31.0"


@pytest.fixture(autouse=True)
def tools():
    need("helm", "packages")


def helm(*arguments, expect=0):
    done = subprocess.run([place.CACHE / "bin/helm", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (expect == 0), done.stdout + done.stderr
    return done.stdout if expect == 0 else done.stderr


def render(values, expect=0):
    flags = ["--set", values] if values else []
    return helm("template", "release", CHART, "--namespace", "lake", "--kube-version", KUBERNETES, *flags, expect=expect)


def documents(text):
    """The documents of YAML, by kind and name. The tests' own environment has no YAML: that of the tools has."""
    script = "import json, sys, yaml; print(json.dumps([one for one in yaml.safe_load_all(sys.stdin) if one]))"
    python = place.CACHE / "packages/bin/python"
    done = subprocess.run([python, "-c", script], input=text, capture_output=True, text=True, check=True)
    return {(one["kind"], one["metadata"]["name"]): one for one in json.loads(done.stdout)}


def test_it_is_linted_and_fits_the_schemas(folder):
    helm("lint", "--strict", CHART, "--set", FULL)
    for name, values in {"full": FULL, "least": "lake=gs://b/p,insecureListen=true"}.items():
        (folder / f"{name}.yaml").write_text(render(values))
        done = subprocess.run(
            [place.CACHE / "packages/bin/kubernetes-validate", "--strict", folder / f"{name}.yaml"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        told = done.stdout + done.stderr
        assert done.returncode == 0 and told.count("passed for resource") == 6, told


@pytest.mark.parametrize(
    "values, said",
    [
        ("", "lake: name a bucket"),
        ("lake=/data/lake,insecureListen=true", "lake: name a bucket"),
        ("lake=s3://b/p", "tls.secret and credentials.secret"),
        ("lake=s3://b/p,tls.secret=t", "tls.secret and credentials.secret"),
        ("lake=s3://b/p,insecureListen=true,drain.limitSeconds=10", "drain.limitSeconds"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_made(values, said):
    assert said in render(values, expect=1)


def test_pods_are_restricted_drain_in_time_and_keep_their_journals():
    found = documents(render(FULL))
    name = "release-sessionlake"
    of = found["StatefulSet", name]["spec"]
    pod, [container] = of["template"]["spec"], of["template"]["spec"]["containers"]
    assert pod["enableServiceLinks"] is False and pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    restricted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert container["securityContext"] == restricted
    env = {one["name"]: one["value"] for one in container["env"]}
    limit = int(env["SESSIONLAKE_DRAIN_LIMIT"].removesuffix("s"))
    assert pod["terminationGracePeriodSeconds"] == limit + 10
    probe = container["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"]
    assert noticed < int(env["SESSIONLAKE_DRAIN_DELAY"].removesuffix("s")) < limit
    assert {"httpGet": "HTTPS"} == {"httpGet": probe["httpGet"]["scheme"]} and "startupProbe" not in container
    [claim] = of["volumeClaimTemplates"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert env["SESSIONLAKE_STATE"].startswith(mounts[claim["metadata"]["name"]] + "/")
    selector = found["PodDisruptionBudget", name]["spec"]["selector"]["matchLabels"]
    assert selector.items() <= of["template"]["metadata"]["labels"].items()


def test_its_settings_are_those_of_the_program(folder, command):
    """Variables and the file of the pod, with its paths in a folder, by `check --offline`."""
    config = 'roll_age = "5min"\njournal_quota = "15GiB"\n'
    (folder / "values.yaml").write_text("config: |\n" + "".join(f"  {line}\n" for line in config.splitlines()))
    text = helm("template", "release", CHART, "--kube-version", KUBERNETES, "--set", FULL, "--values", folder / "values.yaml")
    found = documents(text)
    [container] = found["StatefulSet", "release-sessionlake"]["spec"]["template"]["spec"]["containers"]
    env = {one["name"]: one["value"].replace("/etc/sessionlake", str(folder)) for one in container["env"]}
    (folder / "config").mkdir()
    toml = found["ConfigMap", "release-sessionlake"]["data"]["sessionlake.toml"]
    assert config in toml
    (folder / "config/sessionlake.toml").write_text(toml)
    command("cert", "--self-signed", "tls")
    (folder / "tls/cert.pem").rename(folder / "tls/tls.crt")
    (folder / "tls/key.pem").rename(folder / "tls/tls.key")
    (folder / "credentials").mkdir()
    token = command("passwd", "--token").split("token_hash = ")[1]
    (folder / "credentials/credentials.toml").write_text(f'[[token]]\nname = "exporter"\ntoken_hash = {token}')
    (folder / "credentials/credentials.toml").chmod(0o440)
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-central-1"}
    told = command("check", "--offline", env={**env, **keys})
    assert "warning" not in told and "This configuration is valid" in told, told


def test_the_alert_rules_are_those_of_the_examples():
    python = place.CACHE / "packages/bin/python"
    rules = subprocess.run(
        [python, "-c", "import sys, yaml, json; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))",
         place.ROOT / "examples/prometheus/sessionlake.rules.yml"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = documents(render(FULL))
    assert found["PrometheusRule", "release-sessionlake"]["spec"] == json.loads(rules)
    [endpoint] = found["ServiceMonitor", "release-sessionlake"]["spec"]["endpoints"]
    assert endpoint["path"] == "/metrics" and endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "sessionlake"}]


def test_it_is_of_the_version_of_the_program():
    chart = (CHART / "Chart.yaml").read_text()
    assert f'appVersion: "{version()}"' in chart and f"version: {version()}\n" in chart

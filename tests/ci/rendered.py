"""What of the rendered chart has to hold together: rendered.py FILE, or - for standard input.

No key stands twice. The pod of `helm test` has a configuration that is a part of the engine's, word by word, so that
whoever proves the engine's has proven it too, and no other secret than Elasticsearch's.
"""

import sys

import yaml


class Loader(yaml.SafeLoader):
    """Of two equal keys, YAML in Python silently takes the last."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise SystemExit(f"twice {twice}{node.start_mark}")
        return super().construct_mapping(node, deep)


def probe(objects, config):
    """The pod, if there is one; `config`: what the engine's ConfigMap holds."""
    pods = [each for each in objects if each["kind"] == "Pod"]
    engine = yaml.load(config["engine.yaml"], Loader)
    wanted = {key: engine[key] for key in ("environment", "elasticsearch") if key in engine}
    assert ("elasticsearch" in wanted) == bool(pods) == ("probe.yaml" in config), "a probe without Elasticsearch, or none with it"
    for pod in pods:
        found = yaml.load(config["probe.yaml"], Loader)
        assert found == wanted, f"probe.yaml is {found}, and engine.yaml has {wanted}"
        [container], [volume] = pod["spec"]["containers"], pod["spec"]["volumes"]
        assert container["args"] == ["probe", "--config", "/etc/headroom/probe.yaml"], container["args"]
        variables = [variable["name"] for variable in container.get("env", [])]
        secret = {"basic": ["ES_PASSWORD"], "api_key": ["ES_API_KEY"]}
        assert variables == secret.get(found["elasticsearch"].get("auth", {}).get("strategy"), []), variables
        files = [item["path"] for source in volume["projected"]["sources"] for item in next(iter(source.values()))["items"]]
        authority = found["elasticsearch"].get("tls", {}).get("ca_file")
        assert [f"/etc/headroom/{file}" for file in files] == ["/etc/headroom/probe.yaml"] + [authority] * bool(authority), files


def main(file):
    text = sys.stdin.read() if file == "-" else open(file, encoding="utf-8").read()
    objects = [each for each in yaml.load_all(text, Loader) if each]
    [config] = [each["data"] for each in objects if "engine.yaml" in each.get("data", {})]
    probe(objects, config)


main(*sys.argv[1:])

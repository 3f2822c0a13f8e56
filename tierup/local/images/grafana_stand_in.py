"""A stand-in for Grafana in local images: it checks what is mounted for Grafana and answers its health check.

It runs in the image with the standard library and PyYAML; it draws no dashboard.
"""

import configparser
import json
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

SETTINGS = {
    "server": {"http_port"},
    "dashboards": {"default_home_dashboard_path"},
    "auth.anonymous": {"enabled", "org_name", "org_role"},
    "auth": {"disable_login_form"},
    "auth.basic": {"enabled"},
    "security": {"disable_initial_admin_creation", "disable_gravatar", "cookie_samesite"},
    "users": {"allow_sign_up", "allow_org_create"},
    "analytics": {
        *("reporting_enabled", "check_for_updates", "check_for_plugin_updates", "feedback_links_enabled"),
    },
    "news": {"news_feed_enabled"},
    "plugins": {"plugin_admin_enabled", "preinstall_disabled", "public_key_retrieval_disabled"},
    "snapshots": {"external_enabled"},
    "log": {"mode"},
}
SOURCE = {"name", "uid", "type", "access", "url", "isDefault", "editable", "jsonData"}
PROVIDER = {"name", "type", "disableDeletion", "allowUiUpdates", "options"}
PANELS = {
    *("row", "timeseries", "stat", "gauge", "bargauge", "barchart", "table", "text", "heatmap", "histogram"),
    *("piechart", "state-timeline", "status-history"),
}
ANSWER = "This is a local stand-in for Grafana: it has read the dashboards and cannot show them."


def read(etc: Path) -> tuple[int, list[str]]:
    """Read what is mounted in `etc`; returns the port to listen on, and every problem as `path: what`."""
    try:
        port, problems = _settings(etc / "grafana.ini")
        sources, more = _sources(etc / "provisioning" / "datasources")
        return port, problems + more + _dashboards(etc / "provisioning" / "dashboards", sources)
    except (OSError, ValueError, TypeError, LookupError, configparser.Error, yaml.YAMLError) as error:
        return 0, [f"{etc}: {type(error).__name__}: {error}"]


def _settings(file: Path) -> tuple[int, list[str]]:
    parser = configparser.ConfigParser(interpolation=None)
    with file.open(encoding="utf-8") as text:
        parser.read_file(text)
    names = {(section, key) for section in parser.sections() for key in parser[section]}
    unknown = sorted(name for name in names if name[1] not in SETTINGS.get(name[0], ()))
    problems = [f"{file}: [{section}] {key} is not known" for section, key in unknown]
    home = Path(parser["dashboards"]["default_home_dashboard_path"])
    if not home.is_file():
        problems.append(f"{file}: there is no {home}")
    return parser.getint("server", "http_port"), problems


def _sources(folder: Path) -> tuple[set[str], list[str]]:
    """The identifiers of the data sources, and problems."""
    found: set[str] = set()
    problems: list[str] = []
    for file, source in _items(folder, "datasources", problems):
        problems += _unknown(file, source, SOURCE)
        if source["type"] != "prometheus" or not str(source["url"]).startswith("http"):
            problems.append(f"{file}: {source['name']} is no Prometheus with a URL")
        found.add(str(source["uid"]))
    return found, problems


def _dashboards(folder: Path, sources: set[str]) -> list[str]:
    problems: list[str] = []
    for file, provider in _items(folder, "providers", problems):
        problems += _unknown(file, provider, PROVIDER)
        path = Path(provider["options"]["path"])
        dashboards = sorted(path.glob("*.json"))
        if provider["type"] != "file" or not dashboards:
            problems.append(f"{file}: there are no files *.json in {path}")
        for dashboard in dashboards:
            problems += _panels(dashboard, sources)
        uids = [json.loads(file.read_text(encoding="utf-8"))["uid"] for file in dashboards]
        problems += [
            f"{path}: two boards are {uid}" for uid in sorted({uid for uid in uids if uids.count(uid) > 1})
        ]
    return problems


def _panels(file: Path, sources: set[str]) -> list[str]:
    content = json.loads(file.read_text(encoding="utf-8"))
    problems = (
        [] if content["title"] and content["panels"] else [f"{file}: a title or the panels are missing"]
    )
    chosen = {
        f"${{{item['name']}}}": item["current"]["value"]
        for item in content["templating"]["list"]
        if item["type"] == "datasource"
    }
    for panel in content["panels"]:
        if panel["type"] not in PANELS:
            problems.append(f"{file}: panels of type {panel['type']} are not known")
        uid = panel.get("datasource", {}).get("uid")
        if uid is not None and chosen.get(uid, uid) not in sources:
            problems.append(f"{file}: there is no data source {chosen.get(uid, uid)}")
    return problems


def _items(folder: Path, key: str, problems: list[str]) -> list[tuple[Path, Mapping[str, Any]]]:
    """Each entry of the lists `key` in the folder's files, with its file."""
    found = []
    for file in sorted(folder.glob("*.yml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        problems += _unknown(file, content, {"apiVersion", "prune", key})
        found += [(file, item) for item in content[key]]
    if not found:
        problems.append(f"{folder}: there are no {key}")
    return found


def _unknown(file: Path, found: Mapping[str, Any], known: set[str]) -> list[str]:
    return [f"{file}: {key} is not known" for key in sorted(found.keys() - known)]


class Handler(BaseHTTPRequestHandler):
    """Answers the health check, and everything else with one sentence."""

    def do_GET(self) -> None:
        healthy = self.path == "/api/health"
        body = json.dumps({"database": "ok", "stand-in": ANSWER}) if healthy else ANSWER
        self.send_response(200 if healthy else 501)
        self.send_header("Content-Type", "application/json" if healthy else "text/plain")
        self.send_header("Content-Length", str(len(body) + 1))
        self.end_headers()
        self.wfile.write(f"{body}\n".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the class above
        """Probes ask every few seconds; only other requests are logged."""
        if self.path != "/api/health":
            print(format % args, flush=True)


def main(etc: Path = Path("/etc/grafana")) -> None:
    """Exit code 1 with every problem of the mounted files, else serve until the end."""
    port, problems = read(etc)
    if problems:
        sys.exit("\n".join(f"grafana-stand-in: {problem}" for problem in problems))
    print(f"grafana-stand-in: {ANSWER}", flush=True)
    ThreadingHTTPServer(("", port), Handler).serve_forever()


if __name__ == "__main__":
    main()

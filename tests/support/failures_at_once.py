"""pytest plugin: print each failure when it happens, so that a run which is cut off has said what failed."""

import pytest


class FailuresAtOnce:
    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    @pytest.hookimpl(trylast=True)  # after the letter of the result
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.write_sep("_", f"{report.when} of {report.nodeid}")
            self._terminal.write_line(report.longreprtext)
            for title, text in report.sections:
                self._terminal.write_sep("-", title)
                self._terminal.write_line(text)


@pytest.hookimpl(trylast=True)  # the terminal's reporter is there
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:  # a worker of pytest-xdist has none
        config.pluginmanager.register(FailuresAtOnce(terminal))

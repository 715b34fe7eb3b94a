"""Airflow: one re-embedding a night, labelled with its logical date.

Put this file in the DAG folder of Airflow 3 (tried with 3.3). The worker needs `corpusmill` on its
path, the config at CONFIG, and credentials of the object storage from its own environment: none
are written here.
With Ray, add "--runner", "ray", "--address", "auto" to COMMAND on a worker that is a cluster node.

`corpusmill run` takes the source as it is now, so a night that was missed is not run again
(`catchup=False`): the next one brings what changed in both. A lease on the table keeps a second run
out, even one that was started elsewhere; `max_active_runs=1` only saves a slot.
"""

import subprocess
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, BaseOperator, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

CONFIG = "/etc/corpusmill/reembed.yaml"
COMMAND = ("corpusmill", "run", CONFIG)
NEVER_AGAIN = {
    2: "the config is wrong",
    3: "refused before it began, or stopped at its budget",
    4: "the gate refused the new version",
}


class CorpusmillRun(BaseOperator):
    """Run a config for one logical date; its exit code decides what Airflow does next.

    0: done, or nothing changed. Those of NEVER_AGAIN: failed, and not tried again by itself. 5
    (another run is at work): skipped. Anything else: failed, tried again.
    """

    template_fields = ("date",)

    def __init__(self, *, date: str, command: tuple[str, ...] = COMMAND, **rest: object) -> None:
        super().__init__(**rest)
        self.date = date
        self.command = command
        self.process = None

    def execute(self, context: object) -> None:
        self.process = subprocess.Popen([*self.command, "--date", self.date])
        code = self.process.wait()
        if code == 5:
            raise AirflowSkipException("another run of the table is at work")
        if code in NEVER_AGAIN:
            raise AirflowFailException(f"exit {code}: {NEVER_AGAIN[code]}; the old version stays")
        if code != 0:
            raise AirflowException(f"corpusmill ended with exit code {code}")

    def on_kill(self) -> None:
        """Ask the run to stop; it stops cleanly, and the next try goes on where it was."""
        if self.process is not None:
            self.process.terminate()


with DAG(
    dag_id="corpusmill_reembed",
    description="Embed what changed in the corpus and publish it atomically",
    # a logical date of this timetable is the cron's own time, not the start of an interval
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
    tags=["corpusmill"],
) as dag:
    CorpusmillRun(
        task_id="run",
        # a run that a person triggers has no logical date: the moment of asking is its label
        date="{{ (dag_run.logical_date or dag_run.run_after) | ts }}",
    )

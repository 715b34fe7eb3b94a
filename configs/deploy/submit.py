"""Submit one command to a Ray cluster, tell its log, and end with the command's own exit code.

    python submit.py corpusmill schedule reembed.yaml --cron "0 3 * * *" --once --runner ray ...

The folder of this file travels with the job, so a config beside it is found by its name. The
address is RAY_ADDRESS, such as http://ray-head:8265; with a cluster that asks for a token, set
RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds it. `ray job submit` does the
same, but ends with 1 whatever the command ended with, and then nobody can tell a refused gate from
a lost node. Tried with Ray 2.60.
"""

import asyncio
import os
import shlex
import signal
import sys
from pathlib import Path

from ray.job_submission import JobStatus, JobSubmissionClient


async def tell(client: JobSubmissionClient, job: str) -> None:
    async for lines in client.tail_job_logs(job):
        print(lines, end="", flush=True)


def main() -> int:
    client = JobSubmissionClient(os.environ["RAY_ADDRESS"])
    job = client.submit_job(
        entrypoint=shlex.join(sys.argv[1:]),
        runtime_env={"working_dir": str(Path(__file__).parent)},
    )
    print(f"job {job}", flush=True)
    # the pod is told to stop: so is the run, which stops cleanly and ends with 143
    signal.signal(signal.SIGTERM, lambda *_: client.stop_job(job))
    asyncio.run(tell(client, job))
    info = client.get_job_info(job)
    if info.status == JobStatus.SUCCEEDED:
        return 0
    print(f"job {job}: {info.status}: {info.message}", file=sys.stderr)
    return 143 if info.status == JobStatus.STOPPED else info.driver_exit_code or 1


if __name__ == "__main__":
    sys.exit(main())

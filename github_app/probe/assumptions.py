"""What is assumed of the real services, each with what follows where it does not hold. Pure.

The numbers are those of the project's list of assumptions, and stay.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Assumption:
    """One line of a probe. `otherwise` is what the product does where it does not hold.

    `has_another_way`: the product serves jobs all the same. `needs` says how a person has it looked at, where a plain
    probe does not.
    """

    id: int
    text: str
    otherwise: str
    has_another_way: bool = True
    needs: str = ""


ASSUMPTIONS: tuple[Assumption, ...] = (
    Assumption(
        1,
        "sudo works in a sandbox, for the user runner",
        "the runner and its jobs run as root, which each job's log says",
    ),
    Assumption(
        2,
        "Modal's thread variables tell a job how many CPUs it may use",
        "the start script sets them to the limit, so that nproc, make -j and torch see it",
    ),
    Assumption(
        3,
        "a VM sandbox takes CPU, memory, a closed network, name and tags, and runs dockerd, a container and its port",
        "jobs with the label docker do not run: leave it away, or use GitHub's own runners for them",
        has_another_way=False,
        needs="run it with --docker",
    ),
    Assumption(
        4,
        "a GPU is there for the user runner: nvidia-smi, libcuda, device files",
        "jobs with a GPU label do not see their GPU",
        has_another_way=False,
        needs="run it with --gpu T4",
    ),
    Assumption(
        5,
        "labels with ':', '/' and '=' are taken by GitHub and come back as they were sent",
        "a job with such a label may not be given its runner: use a profile by a plain label of your own and a route",
        has_another_way=False,
    ),
    Assumption(
        6,
        "the JIT config carries DisableUpdate, so that no runner updates itself before its job",
        "an old runner may first load the newest version: run `modal-runner redeploy` at each release",
    ),
    Assumption(
        7,
        "a process called Runner.Worker is seen by a command in its sandbox, and none where there is none",
        "a busy runner is known by the mark of the job-started hook alone, and a job may be ended in its first seconds",
        has_another_way=False,
    ),
    Assumption(
        8,
        "a delivery's background task may outlive 150 seconds",
        "a launch that waits long for a GPU is cut off, and made again by the sweep",
        needs="run it with --repo and --gpu of a type that is scarce, so that the launch waits longer",
    ),
    Assumption(
        9,
        "a container may build and publish images",
        "the web function may not be able to build an image at its start; setup and redeploy build all of them before",
    ),
    Assumption(
        10,
        "a web function that was idle answers within the 10 seconds that GitHub waits",
        "the first delivery after an idle hour fails and is asked for again by the sweep; KEEP_WARM=1 avoids that",
        needs="run it again after an hour without deliveries",
    ),
    Assumption(
        11,
        "of 50 who put one key of a Dict at once one wins, and what one container has put another gets",
        "two runners may be started for one job, and caps be passed; the sweep ends what is too much",
        has_another_way=False,
    ),
    Assumption(
        12,
        "changing the webhook's address keeps its secret",
        "nothing: the secret is sent along with each change",
        needs="compare Recent deliveries on the App's page before and after `modal-runner redeploy`: no 401",
    ),
    Assumption(
        13,
        "GitHub sends the browser back to http://127.0.0.1 after registration",
        "setup waits for a pasted address instead (--no-browser)",
        needs="run `modal-runner setup`: it is seen when an App is registered",
    ),
    Assumption(
        14,
        "the ids of deliveries rise with time",
        "a failed delivery may be asked for late; the sweep of jobs finds its job",
        needs="run it again when the App has had two deliveries",
    ),
    Assumption(
        15,
        "two sandboxes may fill one Volume with links and files of the user runner",
        "the tool cache is of no use there: leave the cache label away",
    ),
    Assumption(
        16,
        "a sandbox that was preempted or ran out of memory ends with a code that is not 0",
        "its death during a job is told by GitHub alone",
        needs="run a job that takes more memory than its label allows, and look at `modal-runner status`",
    ),
    Assumption(
        17,
        "a redeploy leaves running sandboxes alone",
        "jobs that run during a redeploy are lost: redeploy when `modal-runner status` shows none",
        needs="start a long job, run `modal-runner redeploy`, and see the job go on",
    ),
    Assumption(
        18,
        "a token that is narrowed to one repository may register an organisation's runner",
        "nothing: the product's tokens are narrowed by permission alone",
    ),
    Assumption(
        19,
        "a closed network reaches GitHub and nothing else",
        "network:github-only keeps the runner from its job: use an open network",
        needs="",
    ),
    Assumption(
        20,
        "clocks here, in a sandbox and at GitHub agree to half a minute",
        "tokens may be refused: set this machine's clock by NTP",
    ),
    Assumption(
        21,
        "Modal creates sandboxes as fast as they are asked for",
        "launches wait and are tried again, with that reason in `modal-runner status`",
        needs="start many jobs at once; a limit is never provoked by the probe",
    ),
    Assumption(
        22,
        "Modal builds images by the version of its builder that the recipe is tried with",
        "the environment's own version builds them",
    ),
)
BY_ID = {each.id: each for each in ASSUMPTIONS}

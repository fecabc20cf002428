"""Many jobs at once, as the guide shows them."""

from krea_aleph import Aleph, Failed, Job, Succeeded


def main() -> None:
    """Each outcome is one of two, and a job that has succeeded can be downloaded."""
    with Aleph() as aleph:
        jobs = [aleph.submit("in.mp4", prompt) for prompt in ("at night", "in the snow")]
        for outcome in aleph.as_completed(jobs):
            match outcome:
                case Succeeded(job=Job() as job):
                    print(outcome.index, "is ready:", aleph.download(job, ".").path)
                case Failed(error=error):
                    print(outcome.index, "has failed:", error.charged, error.hint)


if __name__ == "__main__":
    main()

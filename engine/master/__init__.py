"""The master process: listens, starts and watches the workers, passes connections on, answers on the control socket."""

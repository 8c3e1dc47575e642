# A small Worker, once per location; its KV binding is the simulator's port for that location. Ports and paths are given on the
# command line: external addresses by --external-addr, sockets by --socket-addr.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "worker-iad", worker = (
      modules = [(name = "worker", esModule = embed "worker.mjs")],
      compatibilityDate = "2026-07-01",
      bindings = [(name = "KV", kvNamespace = "kv-iad")],
    )),
    (name = "worker-ams", worker = (
      modules = [(name = "worker", esModule = embed "worker.mjs")],
      compatibilityDate = "2026-07-01",
      bindings = [(name = "KV", kvNamespace = "kv-ams")],
    )),
    (name = "kv-iad", external = (http = ())),
    (name = "kv-ams", external = (http = ())),
  ],
  sockets = [
    (name = "iad", http = (), service = "worker-iad"),
    (name = "ams", http = (), service = "worker-ams"),
  ],
);

"""Decides how each code is explained: its name in words, what it means for the service, an example fix."""

from dataclasses import dataclass

from tierup.findings.model import Code, Severity

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

# Codes stand in groups; each begins at its number and goes to the next.
GROUPS: dict[int, str] = {
    1: "The file itself",
    14: "What the cluster lacks",
    20: "What the catalogue does not know",
    30: "What the GPUs cannot do",
    40: "What the engine cannot do",
    50: "What the servers cannot hold",
    60: "Nodes",
    70: "Service",
    80: "What the cluster says",
    90: "What the users will see",
    100: "What a second engine cannot do",
    105: "Callers, classes and names at the gateway",
    118: "Cost",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One code for people: plain short sentences; `severities` are all that rules tell it with."""

    title: str
    meaning: str
    fix: str
    severities: tuple[Severity, ...] = (ERROR,)


EXPLAINED: dict[Code, Explanation] = {
    Code.YAML_SYNTAX: Explanation(
        "Not YAML",
        "The file cannot be read, so nothing of the service is known. The message names line and column.",
        "Correct the quotes, colons or indentation of that line; indent with spaces, never with tabs.",
    ),
    Code.DUPLICATE_KEY: Explanation(
        "A key stands twice",
        "Pulumi refuses such a file, and a reader would take one of the two values for the one in force.",
        "Keep one of them.",
    ),
    Code.UNKNOWN_KEY: Explanation(
        "Unknown key",
        "A key that nothing reads is a setting that its author believes in and the service does not have.",
        "`maxNumSeq: 16` becomes `maxNumSeqs: 16`.",
    ),
    Code.MISSING: Explanation(
        "Something is missing",
        "Hardware, models and users have no default: without them there is nothing to size.",
        "Write `tierup:workload: {users: 40}`.",
    ),
    Code.WRONG_TYPE: Explanation(
        "Wrong type",
        "A value of another type than the key takes. Guessing what was meant could size another service.",
        "`users: many` becomes `users: 40`; `enabled: yes` becomes `enabled: true`.",
    ),
    Code.OUT_OF_RANGE: Explanation(
        "Out of range",
        "A number that no service can have, such as no users, or a share of GPU memory above 0.98.",
        "Use a number in the range that the message gives.",
    ),
    Code.NOT_ALLOWED: Explanation(
        "Not one of the choices",
        "The key takes one of a few words.",
        "`precision: int4` becomes `precision: gptq-int4`.",
    ),
    Code.SECRET_IN_CLEAR: Explanation(
        "A secret in clear",
        "A token in a file that is committed must be taken as known to others: they could fetch models, or use "
        "the service, in your name.",
        "Revoke it, then `pulumi config set --secret tierup:secret-hub-token` with a new one.",
    ),
    Code.EMPTY_FILE: Explanation(
        "Empty file",
        "A stack file says at least hardware, models and users; this one says nothing.",
        "Start from one of the files in `stacks/`.",
    ),
    Code.BAD_FORMAT: Explanation(
        "Not in the form it must have",
        "Names, image references, networks and sizes have a form that Kubernetes, Nginx or the engine needs.",
        "`clientBodyBufferSize: 128 KB` becomes `clientBodyBufferSize: 128k`.",
    ),
    Code.NOT_FOUND: Explanation(
        "No such stack file",
        "A stack is the file `stacks/Pulumi.<name>.yaml`, and it is not there or cannot be read.",
        "`tierup plan --stack standard`, or write the file.",
    ),
    Code.NOT_ACCEPTABLE: Explanation(
        "An error cannot be accepted",
        "Acceptances are for what works with a catch. An error is what cannot work: accepting it would only move "
        "the failure into the cluster.",
        "Mend the cause, and remove the entry of `tierup:accept:`.",
    ),
    Code.STALE_ACCEPTANCE: Explanation(
        "An acceptance of nothing",
        "The warning is not told any more, or not at that path. Left in place, the acceptance would hide the "
        "warning unseen when it comes back.",
        "Remove the entry of `tierup:accept:`, or correct its path.",
        (WARNING,),
    ),
    Code.UNKNOWN_SERVER: Explanation(
        "Unknown server",
        "Sizes, prices and limits come from the catalogue's server; without it nothing can be computed.",
        "`server: standard-2x-a100-80g-pcie`, or add yours to `tierup/catalog/servers.yaml`.",
    ),
    Code.UNKNOWN_MODEL: Explanation(
        "Unknown model",
        "Memory and speed follow from the model's shape, which the catalogue holds with its source.",
        "`id: qwen2.5-7b`, or add the model to `tierup/catalog/models.yaml`.",
    ),
    Code.UNKNOWN_PRECISION: Explanation(
        "The model has no such precision",
        "Weights are fetched, not converted: each precision of a model is a repository of its own.",
        "`precision: awq`, or another that the message names.",
    ),
    Code.NO_REVISION: Explanation(
        "No commit to pin",
        "A repository without a pinned commit can change between two pods, which then answer differently.",
        "`revision: 0123456789abcdef0123456789abcdef01234567`, from the model hub.",
    ),
    Code.DUPLICATE_NAME: Explanation(
        "A name is used twice",
        "Clients choose a model by its name, and nodes are adopted by theirs: one name means one thing.",
        "Give one of the models another `name:`.",
    ),
    Code.TP_HEADS: Explanation(
        "Tensor parallelism does not divide the model",
        "Each GPU takes an equal part of the attention heads. The engine refuses to start with another "
        "number.",
        "`parallelism: {tensor: 4}` for 28 heads and 4 KV heads, never 8.",
    ),
    Code.TP_EXCEEDS_NODE: Explanation(
        "A replica is larger than a server",
        "GPUs of one replica talk at every layer. Across servers that needs a network which tierup does not set "
        "up yet.",
        "`parallelism: {tensor: 2}`, or a server with four GPUs.",
    ),
    Code.TP_GROUPS: Explanation(
        "Tensor parallelism splits a quantization group",
        "Weights of a group share one scale, so a GPU cannot hold a part of it; the engine fails while "
        "loading.",
        "Use a smaller `tensor:`, or another precision.",
    ),
    Code.GPUS_EXCEEDED: Explanation(
        "More replicas than GPUs",
        "Replicas beyond the GPUs stay Pending: they cost nothing and serve nobody, and `up` waits for them.",
        "`replicas: 2` on a server with two GPUs.",
    ),
    Code.CONTEXT_DOES_NOT_FIT: Explanation(
        "The context does not fit beside the weights",
        "The KV cache of a single conversation of full length is larger than what the weights leave. The engine "
        "refuses to start.",
        "`context: 8192`, or `kvCacheDtype: fp8`.",
    ),
    Code.FP8_WEIGHT_ONLY: Explanation(
        "FP8 saves memory only",
        "These GPUs have no FP8 units. Weights are stored in eight bits and computed in sixteen: more room, but "
        "not the speed of FP8.",
        "`precision: awq` where speed is wanted.",
        (WARNING,),
    ),
    Code.WEIGHTS_DO_NOT_FIT: Explanation(
        "The weights do not fit",
        "The engine ends with an out-of-memory error while loading, at every start.",
        "`precision: gptq-int4`, or `parallelism: {tensor: 2}`.",
    ),
    Code.TP_WITHOUT_P2P: Explanation(
        "Tensor parallelism without peer access",
        "These GPUs exchange each layer through the host's memory, so two of them together are slower "
        "than apart.",
        "`replicas: 2` in place of `parallelism: {tensor: 2}`, where the model fits one GPU.",
        (WARNING,),
    ),
    Code.CONTEXT_TOO_LONG: Explanation(
        "Longer than the model was trained for",
        "Beyond its trained length a model answers with nonsense, and the engine refuses the setting.",
        "`context: 32768` for Qwen2.5-7B.",
    ),
    Code.GPUS_FRAGMENTED: Explanation(
        "Replicas of different sizes",
        "Small replicas may spread over the servers so that none has room for a large one, which then waits.",
        "Use one parallelism for all models, or a stack for each.",
        (WARNING,),
    ),
    Code.GGUF_IMAGE: Explanation(
        "GGUF needs an image of your own",
        "GGUF files are read by a plugin of vLLM that no public image has: pods would fail at start.",
        "Build `images/vllm-gguf` (see its README) and name it: "
        "`images: {gguf: registry.example.com/vllm-gguf:v0.32.0}`.",
    ),
    Code.ENGINE_TOO_NEW: Explanation(
        "The engine no longer serves this model",
        "Support was removed in a later release, so the server would end at start.",
        "Another model, or `images: {vllm: vllm/vllm-openai:v0.23.0}`.",
    ),
    Code.FLOATING_IMAGE: Explanation(
        "A tag that does not pin a version",
        "The next pod may run another version than its neighbours, and yesterday's cannot be brought back.",
        "`nginx:latest` becomes `nginxinc/nginx-unprivileged:1.29.3`.",
    ),
    Code.GATED_MODEL: Explanation(
        "The model needs a token",
        "The hub gives its files only to accounts that accepted the licence; without a token the fetch "
        "fails.",
        "`pulumi config set --secret tierup:secret-hub-token`.",
    ),
    Code.CONTEXT_TOO_SHORT: Explanation(
        "A class does not fit the context",
        "Requests of that class are longer than the context, so the engine refuses each of them.",
        "`context: 8192`, or smaller `promptTokens` and `answerTokens`.",
    ),
    Code.LONG_DRAIN: Explanation(
        "Answers that take hours",
        "A leaving pod finishes what it began. With answers this long, a rollout or a node drain waits "
        "for hours.",
        "Promise fewer `answerTokens`, or a faster `tpotMs`.",
        (WARNING,),
    ),
    Code.KV_FP8_BACKEND: Explanation(
        "FP8 KV cache changes the attention kernel",
        "Before Hopper, FlashAttention cannot read an FP8 cache: FlashInfer or Triton attends instead. "
        "The cache holds twice the tokens, but an answer may be slower.",
        "Measure both, or leave `kvCacheDtype` out.",
        (WARNING,),
    ),
    Code.CPU_EXCEEDED: Explanation(
        "Too few CPUs",
        "A server whose GPUs are all in use has too few CPUs for its pods: some stay Pending with GPUs idle.",
        "A server with more CPUs, or fewer replicas per server.",
    ),
    Code.MEMORY_EXCEEDED: Explanation(
        "Too little memory",
        "A server whose GPUs are all in use has too little memory for its pods: some stay Pending.",
        "A server with more memory, or fewer replicas per server.",
    ),
    Code.ONE_FAILURE_DOMAIN: Explanation(
        "One server carries everything",
        "When it fails or is serviced, models, gateway and monitoring stop together.",
        "`nodes: {count: 2}`; accept it where an outage is cheaper than a server, such as in tests.",
        (WARNING,),
    ),
    Code.ROLLOUT_RECREATE: Explanation(
        "A change stops the model",
        "No GPUs are left for a second replica, so the old one ends before the new one loads. Requests fail until "
        "then.",
        "Add a server or a warm spare, or use replicas on fewer GPUs.",
        (WARNING,),
    ),
    Code.DISK_EXCEEDED: Explanation(
        "Too small a disk",
        "The model files do not fit the server's disk, so the fetch fails when it is full.",
        "`cache: {kind: shared}`, or fewer models.",
    ),
    Code.IDLE_GPUS: Explanation(
        "GPUs that nothing uses",
        "An owned GPU costs the same when it idles, and these can never be reached: no replica is planned"
        " for them.",
        "Use more `replicas`, a larger `parallelism`, or a smaller server.",
        (WARNING,),
    ),
    Code.SLOW_FETCH: Explanation(
        "The download of the model takes long",
        "The model files pass the slowest port before the first pod can start; a failed fetch starts again.",
        "Use a smaller precision or a faster port, or plan for the wait.",
        (WARNING,),
    ),
    Code.BUSY_NETWORK: Explanation(
        "Answers fill the network",
        "Streams and prompts of all users at once would take more than half of the slowest port; model "
        "files and metrics need the rest.",
        "Use a server with a faster port.",
        (WARNING,),
    ),
    Code.ROLLOUT_DIP: Explanation(
        "A change costs capacity",
        "Every GPU is in use, so an old replica must leave before a new one can start. The message says "
        "how many serve meanwhile and for how long; it is a warning where the users then do not fit.",
        "Roll when few users are there, or add a warm spare.",
        (WARNING, NOTE),
    ),
    Code.NODE_NAMES: Explanation(
        "Names and counts differ",
        "Each server in service and each spare is adopted by name; with too few or too many, some would be "
        "guessed.",
        "`names: [gpu-1, gpu-2]` for `count: 1` and one spare.",
    ),
    Code.PROVIDER_NOT_BUILT: Explanation(
        "The provider is not supported yet",
        "The key is reserved; tierup makes no nodes by this means.",
        "`provider: existing`, with nodes that you made.",
    ),
    Code.STANDBY: Explanation(
        "Spares and their mode contradict each other",
        "A mode without a spare protects nothing, and a spare without a mode is neither on nor off.",
        "`standby: {mode: cold, count: 1}`.",
    ),
    Code.STANDBY_SHORT: Explanation(
        "No spare covers a lost server",
        "With one server lost, the others do not hold the users as promised, and nothing takes its place.",
        "`standby: {mode: cold, count: 1}`, or one more server.",
        (WARNING,),
    ),
    Code.RAID_LEVEL: Explanation(
        "A RAID level that metal3 cannot make",
        "NVMe drives have no RAID controller, and metal3's software RAID must begin with RAID-1. Its "
        "webhook refuses others.",
        "Make the volume by other means and adopt the node with `provider: existing`.",
    ),
    Code.AUTOSCALER_RANGE: Explanation(
        "The autoscaler's limit does not fit",
        "Above what the GPUs hold, added replicas stay Pending while load grows; below the replicas at rest, the "
        "autoscaler would end some of them.",
        "`maxReplicas: 2`, or leave it out: the default is what the GPUs hold.",
    ),
    Code.LONGFORM_CAP: Explanation(
        "The cap leaves long jobs no slot",
        "Every long job would be refused, whatever the load.",
        "`longformCap: 0.5`, or a larger `maxNumSeqs`.",
    ),
    Code.CACHE_KIND: Explanation(
        "The cache kind is not supported yet",
        "The key is reserved; pods would have no model files.",
        "`cache: {kind: shared}`, or `node`.",
    ),
    Code.OPEN_LOAD_BALANCER: Explanation(
        "Open to everybody",
        "A load balancer without source ranges lets anyone who finds the address use your GPUs.",
        "`sourceRanges: [10.0.0.0/8]`.",
        (ERROR, WARNING),
    ),
    Code.MONITORING_NOT_BUILT: Explanation(
        "The monitoring mode is not supported yet",
        "The key is reserved; the tier would run without metrics, and its autoscaler without a signal.",
        "`mode: bundled`.",
    ),
    Code.OVER_BUDGET: Explanation(
        "Over budget",
        "What is bought, spares counted, costs more than `budget.capexUsd` allows, by the catalogue or the stack's own "
        "quotes. Alone, it ends `tierup` with exit code 3; with `budget.mode: advisory` it is a warning.",
        "Fewer servers, or a larger budget.",
        (ERROR, WARNING),
    ),
    Code.SHARES: Explanation(
        "The shares do not add up",
        "Capacity is computed for the mix of classes; shares that are not 1 together describe no mix.",
        "`share: 0.8` and `share: 0.2`.",
    ),
    Code.QUEUE_WAIT: Explanation(
        "A queue longer than clients wait",
        "The last request of a full queue waits longer than most clients do. They give up, and the GPU "
        "answers nobody.",
        "Use a shorter `queueLength`, so that they are told 429 and when to come back.",
        (WARNING,),
    ),
    Code.SOURCE_RANGES: Explanation(
        "Source ranges that no client has",
        "Loopback, link-local, multicast and reserved addresses never arrive at a load balancer: nobody "
        "could reach the service.",
        "Name the networks of the clients.",
    ),
    Code.SLO_BUCKET: Explanation(
        "A promise that no alert can measure",
        "The engine counts times in buckets with fixed bounds. An alert on another value judges by the "
        "next bound.",
        "Use a bound, such as `ttftMs: 500` or `tpotMs: 50`.",
        (WARNING,),
    ),
    Code.CLUSTER_UNREACHABLE: Explanation(
        "The cluster does not answer",
        "Whether its nodes are as planned, and whose objects are there, cannot be said: nothing is changed.",
        "Correct `cluster.kubeconfig` or `cluster.context`, or log in to the cluster.",
    ),
    Code.FOREIGN_OBJECT: Explanation(
        "An object of somebody else",
        "An object of this name is in the cluster and not this stack's. Adopting it would let `destroy` "
        "delete it.",
        "Rename or remove it, or set `cluster.namespace`.",
    ),
    Code.NODE_MISSING: Explanation(
        "No such node",
        "A node that the stack adopts is not in the cluster, so its GPUs are not either.",
        "`nodes: {names: [the-node-there-is]}`.",
    ),
    Code.NODE_MISMATCH: Explanation(
        "The node is not the planned server",
        "Other GPUs, or fewer, than the plan was computed for: models may not fit, or stay Pending.",
        "Name another node or another `server:`, or check the device plugin and GPU feature discovery.",
    ),
    Code.NODE_TAKEN: Explanation(
        "The node serves another stack",
        "Two stacks on one node compete for its GPUs, and each plans with all of them.",
        "Name another node.",
    ),
    Code.NO_STORAGE_CLASS: Explanation(
        "No such storage class",
        "The claim would wait for ever, and with it every pod that reads model files or writes metrics.",
        "`cache: {storageClass: the-class-there-is}`.",
    ),
    Code.EXCHANGE_BLOCKED: Explanation(
        "Old and new model wait for each other",
        "The model that leaves holds its GPUs until the one that comes is up, which needs them.",
        "Give the new model the old one's `name:`, or remove the old one with an `up` of its own first.",
    ),
    Code.CLUSTER_TOO_OLD: Explanation(
        "Kubernetes is too old",
        "The API server, or the kubelet of a node, does not know the preStop `sleep`. Objects would be refused, or "
        "pods would leave before the gateway stops sending them requests.",
        "Upgrade it to the version in the message, or name another cluster or node.",
    ),
    Code.ONE_WRITER: Explanation(
        "A disk of one node under a cache of many",
        "The provisioner of this storage class is known to give its volumes to one node only. The shared claim, or "
        "the pods on every other node, would wait for ever.",
        "`cache: {storageClass: a-class-on-NFS-or-CephFS}`, or `cache: {kind: node}`.",
    ),
    Code.SECOND_SCALER: Explanation(
        "Another autoscaler has the same target",
        "Someone else's HorizontalPodAutoscaler or KEDA ScaledObject sets the replicas of a workload whose replicas "
        "this stack decides: the two would undo each other's choice for ever.",
        "Delete it. `autoscaling: {enabled: false}` makes no room for it: then `up` writes the replicas.",
    ),
    Code.NO_CUSTOM_METRICS: Explanation(
        "The autoscaler has no metrics",
        "Nothing in the cluster serves `custom.metrics.k8s.io`. The autoscaler sees neither requests nor GPUs: it "
        "grows by CPU use or not at all, and never shrinks.",
        "Install a metrics adapter for the bundled Prometheus, or set `autoscaling: {enabled: false}`.",
        (WARNING,),
    ),
    Code.SLOW_FIRST_TOKEN: Explanation(
        "The first token comes too late",
        "The time to the first token that the users' load leads to, against what they are promised. An "
        "error where even the fast end of the range is too slow, a warning where the middle is, a note "
        "where only the slow end is.",
        "Use fewer users, a faster precision or more replicas, or promise less.",
        (ERROR, WARNING, NOTE),
    ),
    Code.SLOW_TOKENS: Explanation(
        "Tokens come too slowly",
        "The same for the time per output token.",
        "Use fewer users, a faster precision or more replicas, or promise less.",
        (ERROR, WARNING, NOTE),
    ),
    Code.LITTLE_HEADROOM: Explanation(
        "Little headroom",
        "The users fit, but a fifth more would not. The sizing model errs by about as much.",
        "Add a replica, or load-test before relying on it.",
        (WARNING,),
    ),
    Code.ABOVE_CLAIM: Explanation(
        "More users than the hardware guide gives",
        "The guide that the tiers come from promises fewer users of this server. The plan may still hold "
        "them.",
        "Load-test before going live.",
        (NOTE,),
    ),
    Code.KV_SLOTS: Explanation(
        "More slots than the KV cache holds",
        "The engine would start more requests than fit, then drop one and compute its tokens again: all "
        "get slower.",
        "Use the `maxNumSeqs` in the message.",
        (WARNING,),
    ),
    Code.LONGFORM_DEMAND: Explanation(
        "More long jobs than their cap lets in",
        "Long jobs may hold a part of the slots only, so that chat never waits for all of them. This "
        "workload sends more; the others are told 429.",
        "Raise `longformCap` or `maxNumSeqs`, or expect fewer of them.",
        (WARNING,),
    ),
    Code.BURST_REFUSED: Explanation(
        "Not all users fit at once",
        "If all users send in the same moment, slots and queue are full and some are told 429.",
        "Use a longer `queueLength`, or more slots.",
        (WARNING,),
    ),
    Code.AUTOSCALER_TARGET: Explanation(
        "The autoscaler cannot do its work",
        "Its target is reached only after a promise is broken, or never; or there are no GPUs to grow into.",
        "Lower `inFlightTarget`, let some requests wait, or add servers.",
        (WARNING, NOTE),
    ),
    Code.SCALE_DOWN_WINDOW: Explanation(
        "Replicas leave sooner than they start",
        "After a short lull a replica is taken away, and the next burst waits for it to start again.",
        "`scaleDownWindowSeconds` of at least the start time in the message.",
        (WARNING,),
    ),
    Code.COLD_START: Explanation(
        "New replicas start too late",
        "Reading the weights takes so long that a burst is over before a new replica answers.",
        "Keep replicas for the peak, or use `cache.kind: node`, a smaller precision or a faster disk.",
        (WARNING,),
    ),
    Code.ENGINE_LOADS_NOT: Explanation(
        "The engine does not load this model",
        "Each engine reads some formats of weights only, and not every engine runs code that a model's repository "
        "brings along. TensorRT-LLM takes plain weights, and quantized ones in formats of its own; the catalogue's "
        "quantized variants are vLLM's.",
        "`precision: bf16`, or `engine: vllm`.",
    ),
    Code.ENGINE_NOT_PROVEN: Explanation(
        "The engine was not run",
        "The containers are written from public documentation: TensorRT-LLM has no build that runs without a GPU, so "
        "that no test here could start it. What a plan computes of it is less certain than its ranges say.",
        "Start it once on your GPUs and load-test it; docs/engines.md says what to look at. Then accept this.",
        (WARNING,),
    ),
    Code.ENGINE_IN_ORDER: Explanation(
        "The engine has no priorities",
        "It serves requests in the order in which they come; TensorRT-LLM has no limit of its own to how many wait "
        "either. Only the gateway's caps keep long jobs from standing before chat.",
        "Lower `longformCap` and `queueLength`, or use `engine: vllm`.",
        (WARNING,),
    ),
    Code.ENGINE_NOT_SCALED: Explanation(
        "Nothing to scale the engine by",
        "The autoscaler counts requests in flight, and TensorRT-LLM's pinned release is not known to tell how many it "
        "has. A metric that is not there would hold the replicas where they are, unseen.",
        "`autoscaling: {enabled: false}`, which is the default beside this engine.",
    ),
    Code.ENGINE_NAME: Explanation(
        "The engine serves no name with a slash",
        "TensorRT-LLM's pinned release names a model after the last folder of its path; what stands before a slash "
        "would be lost.",
        "`name: qwen2.5-7b`.",
    ),
    Code.NO_SECRET: Explanation(
        "A secret that the gateway needs is not set",
        "A caller without a key can never be let in, and TLS without a certificate cannot start.",
        "`pulumi config set --secret tierup:secret-key-web`, for the caller `web`.",
    ),
    Code.UNUSED_KEY: Explanation(
        "A key of no caller",
        "The secret is set, but `gateway.keys` declares nobody of its name, so it opens nothing: a spelling mistake, "
        "or a caller that was taken away.",
        "Declare `gateway.keys.web: {}`, or `pulumi config rm tierup:secret-key-web`.",
        (WARNING,),
    ),
    Code.OPEN_TO_ALL: Explanation(
        "A load balancer without keys",
        "Whoever has an address in the source ranges uses the GPUs, and nobody can tell who it was.",
        "`gateway.keys: {web: {}}` and its secret.",
        (WARNING,),
    ),
    Code.CLEAR_TEXT: Explanation(
        "A load balancer without TLS",
        "Keys, prompts and answers can be read on the way.",
        "`gateway.tls: true` with the secrets `tls-certificate` and `tls-key`; accept it where TLS ends before.",
        (WARNING,),
    ),
    Code.CLASS_UNREACHABLE: Explanation(
        "No request is ever of this class",
        "The gateway knows classes by their answers' lengths unless told otherwise; two of the same length look alike.",
        "`match: {paths: [/v1/completions]}`, or another of the conditions.",
    ),
    Code.UNKNOWN_NAME: Explanation(
        "A class or model that is not there",
        "Keys, matches and aliases name classes of `workload.classes` and served models; a wrong name would let "
        "nobody in, or send requests nowhere.",
        "`classes: [chat]`, one of the classes that the file or the defaults have.",
    ),
    Code.ALIAS: Explanation(
        "An alias that cannot work",
        "An alias is a further name, so no model may have it, and it is split either by weight or by class.",
        "`aliases: {qwen: {weights: {qwen2.5-7b: 9, qwen2.5-7b-awq: 1}}}`.",
    ),
    Code.LARGE_BODIES: Explanation(
        "Request bodies that stop other streams",
        "The gateway reads each body before it decides its class. Parsing 15 MB took 1.9 s at worst, and other "
        "streams of that worker wait meanwhile.",
        "`maxBodySize: 2m` holds prompts of several hundred thousand tokens.",
        (WARNING,),
    ),
    Code.STALE_PRICE: Explanation(
        "Old prices",
        "Prices move: one that is older than 90 days says what things cost then. Told by `tierup cost`, which knows "
        "the day; never by a preview, whose result must not depend on it.",
        "`tierup:cost: {quotes: {electricity: {value: 0.11, source: contract 17, asOf: 2026-11-02}}}`.",
        (WARNING,),
    ),
    Code.OVER_MONTHLY_BUDGET: Explanation(
        "Over the monthly budget",
        "Amortisation, power, place and all else that has a price come to more a month than `budget.monthlyUsd`. What "
        "has no price comes on top. Exit code 3 if alone; a warning with `budget.mode: advisory`.",
        "Fewer servers or spares, or a larger budget.",
        (ERROR, WARNING),
    ),
    Code.UNKNOWN_QUOTE: Explanation(
        "A quote for nothing",
        "Quotes stand under the ids of `tierup/catalog/prices.yaml`, a server's own id, or `storage-` and a storage "
        "class. Under another name a quote would be believed in and not used.",
        "`electricty:` becomes `electricity:`.",
    ),
    Code.BAD_QUOTE: Explanation(
        "A quote that cannot be meant",
        "It is in another unit than the catalogue's, or outside what such a figure can be: a price per MWh taken "
        "for one per kWh is wrong by a thousand.",
        "`electricity: {value: 0.11, unit: USD/kWh, ...}`; `residual: 0.2`, a part of the price.",
    ),
    Code.OVER_INCREASE: Explanation(
        "A change that adds too much",
        "One change would add more to a month than `budget.maxIncreaseUsdPerMonth` allows. Told where past and now are "
        "compared; a warning with `budget.mode: advisory`.",
        "Split the change, or raise the limit in the change itself, where a reviewer sees it.",
        (ERROR, WARNING),
    ),
}


def always_error(code: Code) -> bool:
    """Whether the code is never told as a warning or a note."""
    return EXPLAINED[code].severities == (ERROR,)


# Told only where a cluster is asked, or by `tierup cost`: that a plan does not tell them proves nothing.
TOLD_ELSEWHERE = frozenset({Code.NO_CUSTOM_METRICS, Code.STALE_PRICE, Code.OVER_INCREASE})

# What a stack file may accept; an acceptance of nothing is not made good by another one.
ACCEPTABLE = tuple(code for code in Code if not always_error(code) and code is not Code.STALE_ACCEPTANCE)


def group_of(code: Code) -> str:
    """The heading that a code stands under."""
    number = int(code.removeprefix("TIER"))
    return GROUPS[max(start for start in GROUPS if start <= number)]


def gravest(code: Code) -> Severity:
    """The worst that a code is told with."""
    return next(item for item in (ERROR, WARNING, NOTE) if item in EXPLAINED[code].severities)

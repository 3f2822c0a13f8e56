"""The explanation of each finding code: a title, what it means for the service, and an example of a fix."""

from dataclasses import dataclass

from tierup.findings.model import SECRET_CODES, Code, Severity

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

# A group starts at its number and ends before the next one.
GROUPS: dict[int, str] = {
    1: "Stack file",
    14: "Cluster features",
    20: "Catalogue",
    30: "GPUs",
    40: "Engine",
    50: "Servers",
    60: "Nodes",
    70: "Service",
    80: "Cluster check",
    90: "Capacity and latency",
    100: "TensorRT-LLM",
    105: "Gateway: callers, classes and names",
    118: "Cost",
    130: "Cluster: pods and classes",
    135: "Model hub",
    140: "Settings of the engine",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One code for people, in short sentences; `severities` are all with which rules report it."""

    title: str
    meaning: str
    fix: str
    severities: tuple[Severity, ...] = (ERROR,)


EXPLAINED: dict[Code, Explanation] = {
    Code.YAML_SYNTAX: Explanation(
        "Not YAML",
        "The file is not valid YAML, so tierup cannot read anything in it. The message names the line and column.",
        "Correct the quotes, colons or indentation of that line; indent with spaces, never with tabs.",
    ),
    Code.DUPLICATE_KEY: Explanation(
        "A key is written twice",
        "Pulumi rejects such a file, and a reader cannot tell which of the two values counts.",
        "Keep one of them.",
    ),
    Code.UNKNOWN_KEY: Explanation(
        "Unknown key",
        "Nothing reads this key, so the setting has no effect.",
        "`maxNumSeq: 16` becomes `maxNumSeqs: 16`.",
    ),
    Code.MISSING: Explanation(
        "Something is missing",
        "Hardware, models and users have no default. Without them there is nothing to size.",
        "Write `tierup:workload: {users: 40}`.",
    ),
    Code.WRONG_TYPE: Explanation(
        "Wrong type",
        "The value has another type than the key expects. tierup does not guess what was meant.",
        "`users: many` becomes `users: 40`; `enabled: yes` becomes `enabled: true`.",
    ),
    Code.OUT_OF_RANGE: Explanation(
        "Out of range",
        "The number is outside the range that makes sense, such as no users, or a share of GPU memory above 0.98.",
        "Use a number in the range that the message gives.",
    ),
    Code.NOT_ALLOWED: Explanation(
        "Not one of the choices",
        "The key accepts only certain values, and this is none of them.",
        "`precision: int4` becomes `precision: gptq-int4`.",
    ),
    Code.SECRET_IN_CLEAR: Explanation(
        "A secret in plain text",
        "A token in a committed file counts as leaked: others could download models or use the service in your "
        "name.",
        "Revoke it, then `pulumi config set --secret tierup:secret-hub-token` with a new one.",
    ),
    Code.EMPTY_FILE: Explanation(
        "Empty file",
        "A stack file needs at least hardware, models and users.",
        "Start from one of the files in `stacks/`.",
    ),
    Code.BAD_FORMAT: Explanation(
        "Wrong format",
        "Names, image references, networks and sizes must have the format that Kubernetes, Nginx or the engine "
        "accepts.",
        "`clientBodyBufferSize: 128 KB` becomes `clientBodyBufferSize: 128k`.",
    ),
    Code.NOT_FOUND: Explanation(
        "No such stack file",
        "The stack file `stacks/Pulumi.<name>.yaml` does not exist or cannot be read.",
        "`tierup plan --stack standard`, or write the file.",
    ),
    Code.NOT_ACCEPTABLE: Explanation(
        "An error cannot be accepted",
        "Only warnings can be accepted. An error means that the service cannot work; accepting it would only move "
        "the failure into the cluster.",
        "Fix the cause, and remove the entry of `tierup:accept:`.",
    ),
    Code.STALE_ACCEPTANCE: Explanation(
        "An acceptance without a warning",
        "The accepted warning is no longer reported, or not at that path. If it came back, the old entry would hide"
        " it.",
        "Remove the entry of `tierup:accept:`, or correct its path.",
        (WARNING,),
    ),
    Code.UNKNOWN_SERVER: Explanation(
        "Unknown server",
        "Sizes, prices and limits come from the server's entry in the catalogue. Without it tierup cannot compute "
        "them.",
        "`server: standard-2x-a100-80g-pcie`, or add yours to `tierup/catalog/servers.yaml`.",
    ),
    Code.UNKNOWN_MODEL: Explanation(
        "Unknown model",
        "Memory and speed follow from the model's shape, which the catalogue holds.",
        "`id: qwen2.5-7b`, or add the model to `tierup/catalog/models.yaml`.",
    ),
    Code.UNKNOWN_PRECISION: Explanation(
        "The model has no such precision",
        "Weights are downloaded, not converted: each precision of a model is a repository of its own.",
        "`precision: awq`, or another that the message names.",
    ),
    Code.NO_REVISION: Explanation(
        "No commit to pin",
        "Without a pinned commit the repository can change between two pods, which then answer differently.",
        "`revision: 0123456789abcdef0123456789abcdef01234567`, from the model hub.",
    ),
    Code.DUPLICATE_NAME: Explanation(
        "A name is used twice",
        "Clients choose a model by its name, and nodes are adopted by name. Each name must be unique.",
        "Give one of the models another `name:`.",
    ),
    Code.MODEL_SOURCE: Explanation(
        "A model of your own that cannot be served",
        "Memory and speed follow from the file that `tierup model add` wrote of the repository. It is missing, it is "
        "of another commit, or it is of an architecture that is not known to be sized right (docs/models.md).",
        "`source: {repo: acme/support-7b, revision: COMMIT, config: models/acme--support-7b.json}`, as `tierup model "
        "add` prints it.",
    ),
    Code.OWN_ENTRY: Explanation(
        "A GPU or server of your own that cannot be used",
        "`tierup:catalog` has the form of the catalogue's own files: each value with a source, each source with a "
        "date. This entry has a value that is missing or of another form, or a name that exists already, or its file "
        "cannot be read (docs/catalog.md).",
        "`memory_mib: {value: 49140, source: data-sheet}`.",
    ),
    Code.TP_HEADS: Explanation(
        "Tensor parallelism does not divide the model",
        "Each GPU takes an equal share of the attention heads. The engine refuses to start if the heads cannot be "
        "divided.",
        "`parallelism: {tensor: 4}` for 28 heads and 4 KV heads, never 8.",
    ),
    Code.TP_EXCEEDS_NODE: Explanation(
        "A replica is larger than a server",
        "The GPUs of a replica communicate at every layer. Across servers this needs a network that tierup does not"
        " set up yet.",
        "`parallelism: {tensor: 2}`, or a server with four GPUs.",
    ),
    Code.TP_GROUPS: Explanation(
        "Tensor parallelism splits a quantization group",
        "The weights of a quantization group share one scale, so a group must be on one GPU. Otherwise the engine "
        "fails while it loads the model.",
        "Use a smaller `tensor:`, or another precision.",
    ),
    Code.GPUS_EXCEEDED: Explanation(
        "More replicas than GPUs",
        "Replicas without a GPU stay Pending and serve nobody, and `pulumi up` waits for them.",
        "`replicas: 2` on a server with two GPUs.",
    ),
    Code.CONTEXT_DOES_NOT_FIT: Explanation(
        "The context does not fit next to the weights",
        "The weights leave too little memory for the KV cache of one request of full length. The engine refuses to "
        "start. What it needs besides the weights is known to about half a GiB: a warning says that the context is so "
        "near the edge that only a start will tell.",
        "`context: 8192`, or `kvCacheDtype: fp8`.",
        (ERROR, WARNING),
    ),
    Code.FP8_WEIGHT_ONLY: Explanation(
        "FP8 or FP4 saves memory only",
        "These GPUs have no units for such numbers. They store weights in 8 or 4 bits and compute in 16 bits: this "
        "saves memory, but does not give the speed of FP8 or FP4.",
        "`precision: awq`, if you need speed.",
        (WARNING,),
    ),
    Code.WEIGHTS_DO_NOT_FIT: Explanation(
        "The weights do not fit",
        "The engine stops with an out-of-memory error at every start, while it loads the weights.",
        "`precision: gptq-int4`, or `parallelism: {tensor: 2}`.",
    ),
    Code.TP_WITHOUT_P2P: Explanation(
        "Tensor parallelism without peer access",
        "These GPUs exchange data through the host's memory at every layer, so two of them together are slower than"
        " two replicas.",
        "`replicas: 2` instead of `parallelism: {tensor: 2}`, if the model fits on one GPU.",
        (WARNING,),
    ),
    Code.CONTEXT_TOO_LONG: Explanation(
        "The context is longer than the model supports",
        "Beyond the length it was trained for, a model gives useless answers, and the engine rejects the setting.",
        "`context: 32768` for Qwen2.5-7B.",
    ),
    Code.GPUS_FRAGMENTED: Explanation(
        "Replicas of different sizes",
        "Small replicas may spread over the servers so that no server has room for a large one, which then stays "
        "Pending.",
        "Use the same parallelism for all models, or one stack per model.",
        (WARNING,),
    ),
    Code.GGUF_IMAGE: Explanation(
        "GGUF needs an image of your own",
        "GGUF files need a plugin of vLLM, which no public image contains. With a public image the pods "
        "fail at start.",
        "Build `images/vllm-gguf` (see its README) and name it: "
        "`images: {gguf: registry.example.com/vllm-gguf:v0.32.0}`.",
    ),
    Code.ENGINE_TOO_NEW: Explanation(
        "The engine no longer supports this model",
        "A later release removed the support, so the engine stops at start.",
        "Use another model, or `images: {vllm: vllm/vllm-openai:v0.23.0}`.",
    ),
    Code.FLOATING_IMAGE: Explanation(
        "The image tag does not pin a version",
        "The next pod may run another version than the other pods, and you cannot go back to the earlier one.",
        "`nginx:latest` becomes `nginxinc/nginx-unprivileged:1.29.3`.",
    ),
    Code.GATED_MODEL: Explanation(
        "The model needs a token",
        "The model hub allows downloads only to accounts that accepted the licence. Without a token the download "
        "fails. A warning of `tierup plan`, an error of `pulumi preview` and `pulumi up`.",
        "`pulumi config set --secret tierup:secret-hub-token --stack standard`.",
        (ERROR, WARNING),
    ),
    Code.CONTEXT_TOO_SHORT: Explanation(
        "A workload class does not fit the context",
        "Prompt and answer of this class are longer than the context, so the engine rejects each of its requests.",
        "`context: 8192`, or smaller `promptTokens` and `answerTokens`.",
    ),
    Code.LONG_DRAIN: Explanation(
        "Answers that take hours",
        "A terminating pod finishes its running requests first. With answers this long, a rollout or a node drain "
        "takes hours.",
        "Promise fewer `answerTokens`, or a faster `tpotMs`.",
        (WARNING,),
    ),
    Code.KV_FP8_BACKEND: Explanation(
        "An FP8 KV cache changes the attention kernel",
        "On these GPUs, FlashAttention cannot read an FP8 cache, so the engine uses FlashInfer or Triton. "
        "The cache holds twice as many tokens, but answers may be slower.",
        "Measure both, or remove `kvCacheDtype`.",
        (WARNING,),
    ),
    Code.MODEL_SHARES: Explanation(
        "The models' shares do not add up",
        "Capacity is computed for the requests of each model. Their `share` values may not add up to more than 1, and "
        "not to less if every model has one. Without `share`, aliases and `match.models` decide. A model that no "
        "request reaches is a warning: its GPUs cost the same.",
        "`share: 0.9` and `share: 0.1`.",
        (ERROR, WARNING),
    ),
    Code.GPU_LACKS: Explanation(
        "The GPUs cannot serve this",
        "What a GPU can do follows from its compute capability. These lack the number format of the weights (BF16 "
        "before Ampere, INT8 in vLLM on Blackwell), a kernel that reads an FP8 KV cache, or kernels in the engine's "
        "image; or they are not NVIDIA's. The engine would stop at start.",
        "`precision: fp16` on a T4 or a V100.",
    ),
    Code.CPU_EXCEEDED: Explanation(
        "Too few CPUs",
        "When all GPUs of a server are in use, it has too few CPUs for its pods: some stay Pending and their GPUs "
        "idle.",
        "Use a server with more CPUs, or fewer replicas per server.",
    ),
    Code.MEMORY_EXCEEDED: Explanation(
        "Too little memory",
        "When all GPUs of a server are in use, it has too little memory for its pods: some stay Pending.",
        "Use a server with more memory, or fewer replicas per server.",
    ),
    Code.ONE_FAILURE_DOMAIN: Explanation(
        "One server carries everything",
        "If it fails or is serviced, models, gateway and monitoring stop together.",
        "`nodes: {count: 2}`. Accept the warning where an outage costs less than a second server, such as in tests.",
        (WARNING,),
    ),
    Code.ROLLOUT_RECREATE: Explanation(
        "An update interrupts the model",
        "There are no free GPUs for a second replica, so the old one stops before the new one has loaded. Requests "
        "fail in between.",
        "Add a server or a warm spare, or use replicas on fewer GPUs.",
        (WARNING,),
    ),
    Code.DISK_EXCEEDED: Explanation(
        "The disk is too small",
        "The model files do not fit on the server's disk, so the download fails when the disk is full.",
        "`cache: {kind: shared}`, or fewer models.",
    ),
    Code.IDLE_GPUS: Explanation(
        "Unused GPUs",
        "No replica is planned for these GPUs. They cost the same when they idle.",
        "Use more `replicas`, a larger `parallelism`, or a smaller server.",
        (WARNING,),
    ),
    Code.SLOW_FETCH: Explanation(
        "The download of the model takes long",
        "The first pod can start only after the model files were downloaded through the slowest port. A failed "
        "download starts again.",
        "Use a smaller precision or a faster port, or allow for the time.",
        (WARNING,),
    ),
    Code.BUSY_NETWORK: Explanation(
        "Answers fill the network",
        "Prompts and answers of all users at once would use more than half of the slowest port; model files and "
        "metrics need the rest.",
        "Use a server with a faster port.",
        (WARNING,),
    ),
    Code.ROLLOUT_DIP: Explanation(
        "An update reduces capacity",
        "All GPUs are in use, so an old replica must stop before a new one can start. The message says how many "
        "replicas serve in the meantime, and how long. It is a warning if they cannot serve all users.",
        "Update when there are few users, or add a warm spare.",
        (WARNING, NOTE),
    ),
    Code.UNUSED_MEMORY: Explanation(
        "GPU memory that nobody uses",
        "Kubernetes gives a whole GPU to one pod. What `gpuMemoryUtilization` leaves, no other model can take: the KV "
        "cache is only smaller. A share far below the default is of use only where something outside of Kubernetes "
        "takes the rest.",
        "Leave `gpuMemoryUtilization` out.",
        (WARNING,),
    ),
    Code.NODE_NAMES: Explanation(
        "Node names do not match the counts",
        "Each server in service and each spare needs one name. With too few or too many, tierup would have to "
        "guess.",
        "`names: [gpu-1, gpu-2]` for `count: 1` and one spare.",
    ),
    Code.PROVIDER_NOT_BUILT: Explanation(
        "The provider is not supported yet",
        "The key is reserved; tierup cannot create nodes with this provider.",
        "`provider: existing`, with nodes that already exist.",
    ),
    Code.STANDBY: Explanation(
        "Spares and standby mode contradict each other",
        "A mode without a spare protects nothing. A spare without a mode is neither on nor off.",
        "`standby: {mode: cold, count: 1}`.",
    ),
    Code.STANDBY_SHORT: Explanation(
        "No spare replaces a lost server",
        "If one server fails, the others cannot keep the promised latency for all users, and there is no spare.",
        "`standby: {mode: cold, count: 1}`, or one more server.",
        (WARNING,),
    ),
    Code.SHARING: Explanation(
        "Cards cannot be shared like this",
        "The card has no MIG or no such profile, the resource is not one that NVIDIA's device plugin gives to shares "
        "of a card, a replica would span several shares, or the engines of one card ask for more than its memory.",
        "`sharing: {mig: 3g.40gb}` on an 80 GB card, or `sharing: {timeSlices: 2}`, with one share per replica.",
    ),
    Code.RAID_LEVEL: Explanation(
        "RAID level not supported by metal3",
        "NVMe drives have no RAID controller, and metal3's software RAID must start with RAID-1. Its webhook "
        "rejects anything else.",
        "Create the volume by other means and adopt the node with `provider: existing`.",
    ),
    Code.AUTOSCALER_RANGE: Explanation(
        "The autoscaler's limit does not fit",
        "If the limit is above what the GPUs hold, new replicas stay Pending while the load grows. If it is below "
        "the planned replicas, the autoscaler removes some of them.",
        "`maxReplicas: 2`, or remove the key: the default is what the GPUs hold.",
    ),
    Code.LONGFORM_CAP: Explanation(
        "The cap leaves no slot for long jobs",
        "Every long job would be refused, at any load.",
        "`longformCap: 0.5`, or a larger `maxNumSeqs`.",
    ),
    Code.CACHE_KIND: Explanation(
        "The cache kind is not supported yet",
        "The key is reserved; the pods would have no model files.",
        "`cache: {kind: shared}`, or `node`.",
    ),
    Code.OPEN_LOAD_BALANCER: Explanation(
        "The load balancer or NodePort is open to everybody",
        "Without source ranges, anyone who finds the address can use your GPUs.",
        "`sourceRanges: [10.0.0.0/8]`.",
        (ERROR, WARNING),
    ),
    Code.MONITORING_NOT_BUILT: Explanation(
        "The monitoring mode is not supported yet",
        "The key is reserved; the tier would have no metrics, and its autoscaler no signal.",
        "`mode: bundled`.",
    ),
    Code.OVER_BUDGET: Explanation(
        "Over the purchase budget",
        "The hardware, spares included, costs more than `budget.capexUsd`, at the prices of the catalogue or the "
        "stack's quotes. If it is the only error, the exit code is 3. With `budget.mode: advisory` it is a warning.",
        "Use fewer servers, or a larger budget.",
        (ERROR, WARNING),
    ),
    Code.SHARES: Explanation(
        "The shares do not add up",
        "Capacity is computed for a mix of classes. The shares of all classes must add up to 1.",
        "`share: 0.8` and `share: 0.2`.",
    ),
    Code.QUEUE_WAIT: Explanation(
        "The queue is longer than clients wait",
        "The last request of a full queue waits longer than most clients do. They give up, and the GPUs compute "
        "answers that nobody reads.",
        "Use a shorter `queueLength`: clients then get a 429 that says when to retry.",
        (WARNING,),
    ),
    Code.SOURCE_RANGES: Explanation(
        "No client has these source addresses",
        "Loopback, link-local, multicast and reserved addresses never reach a load balancer, so nobody could use "
        "the service.",
        "List the networks of the clients.",
    ),
    Code.SLO_BUCKET: Explanation(
        "No alert can measure this promise",
        "The engine's histograms have fixed bucket bounds. An alert can only use a bound, so it would use the next "
        "one.",
        "Use a bucket bound, such as `ttftMs: 500` or `tpotMs: 50`.",
        (WARNING,),
    ),
    Code.CLUSTER_UNREACHABLE: Explanation(
        "The cluster does not answer",
        "The nodes and the existing objects cannot be checked, so nothing is changed.",
        "Correct `cluster.kubeconfig` or `cluster.context`, or log in to the cluster.",
    ),
    Code.FOREIGN_OBJECT: Explanation(
        "The object belongs to somebody else",
        "The cluster already has an object of this name that is not part of this stack. If tierup adopted it, "
        "`pulumi destroy` would delete it.",
        "Rename or remove the object, or set `cluster.namespace`.",
    ),
    Code.NODE_MISSING: Explanation(
        "No such node",
        "The stack adopts a node that is not in the cluster.",
        "`nodes: {names: [gpu-1]}`, with the name of an existing node.",
    ),
    Code.NODE_MISMATCH: Explanation(
        "The node is not the planned server",
        "The node has other or fewer GPUs than the plan assumes: models may not fit, or stay Pending.",
        "Choose another node or another `server:`, or check the device plugin and GPU feature discovery.",
    ),
    Code.NODE_TAKEN: Explanation(
        "Another stack uses the node",
        "Each of the two stacks plans with all GPUs of the node, so they compete for them.",
        "Choose another node.",
    ),
    Code.NO_STORAGE_CLASS: Explanation(
        "No such storage class",
        "The volume claim would stay Pending forever, and with it every pod that reads model files or writes "
        "metrics.",
        "`cache: {storageClass: nfs}`, with the name of an existing class.",
    ),
    Code.EXCHANGE_BLOCKED: Explanation(
        "Old and new model wait for each other",
        "The old model keeps its GPUs until the new one is ready, but the new one needs these GPUs to start.",
        "Give the new model the `name:` of the old one, or first remove the old one with a separate `pulumi up`.",
    ),
    Code.CLUSTER_TOO_OLD: Explanation(
        "Kubernetes is too old",
        "The API server, or the kubelet of a node, does not support the preStop action `sleep`. Objects would be "
        "rejected, or pods would stop while the gateway still sends them requests.",
        "Upgrade it to the version in the message, or choose another cluster or node.",
    ),
    Code.ONE_WRITER: Explanation(
        "The storage class serves one node only",
        "The volumes of this provisioner can be mounted on one node only. The shared claim, or the pods on all "
        "other nodes, would stay Pending forever.",
        "`cache: {storageClass: a-class-on-NFS-or-CephFS}`, or `cache: {kind: node}`.",
    ),
    Code.SECOND_SCALER: Explanation(
        "Another autoscaler controls the same workload",
        "An existing HorizontalPodAutoscaler or KEDA ScaledObject sets the replicas of a workload of this stack. "
        "Each would undo the changes of the other. So would the stack's own autoscaler, which an `up` with "
        "`autoscaling.enabled: false` removes last: change the replicas in a second `up`.",
        "Delete it. `autoscaling: {enabled: false}` does not help, because then `pulumi up` sets the replicas.",
    ),
    Code.MORE_PROBLEMS: Explanation(
        "More problems of the same kind",
        "The file has so many problems of one kind that only the first fifty are listed. Most often it is another "
        "program's file, or one that a tool has damaged.",
        "Fix those that are listed, and run the command again.",
        (ERROR, WARNING, NOTE),
    ),
    Code.NO_CUSTOM_METRICS: Explanation(
        "The autoscaler has no metrics",
        "Nothing in the cluster serves `custom.metrics.k8s.io`. The autoscaler sees neither requests nor GPUs: it "
        "scales up by CPU use or not at all, and never scales down.",
        "Install a metrics adapter for the bundled Prometheus, or set `autoscaling: {enabled: false}`.",
        (WARNING,),
    ),
    Code.MISSING_KIND: Explanation(
        "The cluster does not serve a kind of the stack",
        "HTTPRoutes are a kind of the Gateway API, Certificates one of cert-manager. Without them the deployment would "
        "stop in its middle.",
        "Install what the message names, or use another way to the gateway.",
    ),
    Code.SLOW_FIRST_TOKEN: Explanation(
        "The first token comes too late",
        "At the planned load, the predicted time to the first token is above the promised one. It is an error if "
        "even the fast end of the range is too slow, a warning if the middle is, and a note if only the slow end "
        "is.",
        "Use fewer users, a faster precision or more replicas, or promise less.",
        (ERROR, WARNING, NOTE),
    ),
    Code.SLOW_TOKENS: Explanation(
        "Tokens come too slowly",
        "At the planned load, the predicted time per output token is above the promised one. Severities are those "
        "of TIER090.",
        "Use fewer users, a faster precision or more replicas, or promise less.",
        (ERROR, WARNING, NOTE),
    ),
    Code.LITTLE_HEADROOM: Explanation(
        "Little headroom",
        "The users fit, but 20 % more would not. The error of the sizing model is about as large.",
        "Add a replica, or load-test before relying on it.",
        (WARNING,),
    ),
    Code.ABOVE_CLAIM: Explanation(
        "More users than the hardware guide states",
        "The hardware guide states fewer users for this server. The plan may still be right.",
        "Load-test before going live.",
        (NOTE,),
    ),
    Code.KV_SLOTS: Explanation(
        "More slots than the KV cache holds",
        "The engine would start more requests than fit in the KV cache, then preempt some and compute their tokens "
        "again. All requests get slower.",
        "Use the `maxNumSeqs` in the message.",
        (WARNING,),
    ),
    Code.LONGFORM_DEMAND: Explanation(
        "More long jobs than their cap allows",
        "Long jobs may use only a part of the slots, so that chat always finds one. This workload sends more long "
        "jobs; those above the cap get a 429.",
        "Raise `longformCap` or `maxNumSeqs`, or plan for fewer long jobs.",
        (WARNING,),
    ),
    Code.BURST_REFUSED: Explanation(
        "Not all users fit at once",
        "If all users send at the same moment, slots and queue are full and some requests get a 429.",
        "Use a longer `queueLength`, or more slots.",
        (WARNING,),
    ),
    Code.AUTOSCALER_TARGET: Explanation(
        "The autoscaler cannot work",
        "Its target is reached only after a promise is broken, or never; or there are no GPUs for more replicas.",
        "Lower `inFlightTarget`, allow a longer queue, or add servers.",
        (WARNING, NOTE),
    ),
    Code.SCALE_DOWN_WINDOW: Explanation(
        "Scale-down is faster than a start",
        "After a short lull the autoscaler removes a replica, and the next burst waits until one has started again.",
        "Set `scaleDownWindowSeconds` to at least the start time in the message.",
        (WARNING,),
    ),
    Code.COLD_START: Explanation(
        "New replicas start too slowly",
        "Loading the weights takes so long that a burst is over before a new replica serves requests.",
        "Keep replicas for the peak load, or use `cache.kind: node`, a smaller precision or a faster disk.",
        (WARNING,),
    ),
    Code.ENGINE_LOADS_NOT: Explanation(
        "The engine cannot load this model",
        "Each engine reads only some formats of weights, and not every engine runs code from a model's repository. "
        "TensorRT-LLM loads unquantized weights and its own quantized formats; the catalogue's quantized variants are "
        "for vLLM.",
        "`precision: bf16`, or `engine: vllm`.",
    ),
    Code.ENGINE_NOT_PROVEN: Explanation(
        "The engine is not tested",
        "Its containers follow public documentation. TensorRT-LLM has no build that runs without a GPU, so our tests "
        "could not start it. The plan's figures for it are less certain than the ranges say.",
        "Start it once on your GPUs and load-test it; docs/engines.md says what to check. Then accept the warning.",
        (WARNING,),
    ),
    Code.ENGINE_IN_ORDER: Explanation(
        "The engine has no priorities",
        "It serves requests in the order of arrival. TensorRT-LLM has no limit on waiting requests either. Only the "
        "caps of the gateway keep long jobs from delaying chat.",
        "Lower `longformCap` and `queueLength`, or use `engine: vllm`.",
        (WARNING,),
    ),
    Code.ENGINE_NOT_SCALED: Explanation(
        "The engine has no metric for the autoscaler",
        "The autoscaler needs the number of requests in flight, and the pinned release of TensorRT-LLM does not "
        "document such a metric. Without it the number of replicas would never change.",
        "`autoscaling: {enabled: false}`, the default with this engine.",
    ),
    Code.ENGINE_NAME: Explanation(
        "The engine does not support a slash in the name",
        "The pinned release of TensorRT-LLM names a model after the last folder of its path, so the part before a "
        "slash would be lost.",
        "`name: qwen2.5-7b`.",
    ),
    Code.NO_SECRET: Explanation(
        "A secret that the stack needs is not set",
        "Without its key a caller is never let in, TLS cannot start without a certificate, and S3-compatible storage "
        "needs both of its keys. A warning of `tierup plan`, an error of `pulumi preview` and `pulumi up`.",
        "`pulumi config set --secret tierup:secret-key-web --stack standard`, for the caller `web`.",
        (ERROR, WARNING),
    ),
    Code.UNUSED_KEY: Explanation(
        "A key without a caller",
        "The secret is set, but `gateway.keys` has no caller of this name, so the key is not valid. The name may be"
        " misspelt, or the caller was removed.",
        "Declare `gateway.keys.web: {}`, or `pulumi config rm tierup:secret-key-web`.",
        (WARNING,),
    ),
    Code.OPEN_TO_ALL: Explanation(
        "Open to clients outside without keys",
        "Everyone who reaches the gateway from outside can use the GPUs, and it cannot tell callers apart.",
        "`gateway.keys: {web: {}}` and the secret of this caller.",
        (WARNING,),
    ),
    Code.CLEAR_TEXT: Explanation(
        "Open to clients outside without TLS",
        "Keys, prompts and answers travel unencrypted.",
        "`gateway.tls: true` with the secrets `tls-certificate` and `tls-key`, `tls: {issuer: {name: NAME}}` with "
        "cert-manager, or `ingress.tlsSecret`. Accept the warning if something in front terminates TLS.",
        (WARNING,),
    ),
    Code.CLASS_UNREACHABLE: Explanation(
        "No request matches this class",
        "Without `match`, the gateway tells classes apart by the length of their answers. Classes of the same "
        "length look the same. Paths that no served model has are closed.",
        "`match: {paths: [/v1/completions]}`, or another condition.",
    ),
    Code.READ_TIMEOUT: Explanation(
        "The gateway does not wait for the longest answers",
        "An answer that is not streamed sends no byte until it is complete. The gateway refuses requests whose answer "
        "would take longer than its timeout, and limits those that name no limit. It is an error if a typical "
        "answer of a class is refused.",
        "A longer `readTimeoutSeconds`, a smaller `context`, or clients that stream long answers.",
        (ERROR, WARNING),
    ),
    Code.OPEN_ORIGINS: Explanation(
        "Every web page may use the GPUs",
        "Without keys, a request needs only a way to the gateway, and the browser of everyone inside has one. With the "
        "origin `*` any page that such a person opens may send requests and read the answers.",
        "`allowedOrigins: [https://chat.example.com]`, or callers with keys.",
        (WARNING,),
    ),
    Code.EXPOSURE: Explanation(
        "Settings of access that exclude each other",
        "Clients outside the cluster have one way to the gateway: a NodePort, a load balancer, an Ingress or an "
        "HTTPRoute. An Ingress and a Gateway end TLS themselves, so that the gateway behind them has none.",
        "`serviceType: ClusterIP` beside `ingress:`, and `tls: {issuer: {name: NAME}}` instead of `tls: true`.",
    ),
    Code.PROXY_UNKNOWN: Explanation(
        "Unknown ingress class",
        "A controller that buffers answers breaks streams, and most cut an answer after a minute of silence. The "
        "annotations against it differ between controllers; tierup knows those of Nginx, Traefik, HAProxy and the AWS "
        "load balancer, by the words of the class's name.",
        "`annotations:` of the controller for buffering, read timeout and size of bodies; then nothing is reported.",
        (WARNING,),
    ),
    Code.PROXY_BLOCKED: Explanation(
        "The network policy would keep the proxy out",
        "The gateway accepts connections from pods of `namespaces` (of all, without it) and from `sourceRanges`. A "
        "controller elsewhere, or a load balancer of the cloud, could not connect, and clients would get 502 or 504.",
        "`controllerNamespace: ingress-nginx`, or the proxy's networks: `sourceRanges: [10.20.0.0/16]`.",
    ),
    Code.UNKNOWN_NAME: Explanation(
        "Unknown class or model",
        "Keys, matches and aliases refer to classes of `workload.classes` and to served models. With a wrong name, "
        "nobody would be let in, or requests would have no target.",
        "`classes: [chat]`, or another class of the file or the defaults.",
    ),
    Code.ALIAS: Explanation(
        "An alias that cannot work",
        "An alias is an additional name: no model may have the same name, and it is split either by weight or by "
        "class.",
        "`aliases: {qwen: {weights: {qwen2.5-7b: 9, qwen2.5-7b-awq: 1}}}`.",
    ),
    Code.LARGE_BODIES: Explanation(
        "Large request bodies delay other streams",
        "The gateway reads each body to find its class. Parsing 15 MB took up to 1.9 s, and the other streams of "
        "that worker wait in the meantime.",
        "`maxBodySize: 2m` holds prompts of several hundred thousand tokens.",
        (WARNING,),
    ),
    Code.STALE_PRICE: Explanation(
        "Old prices",
        "A price older than 90 days may have changed. Only `tierup cost` reports it, because the result of a "
        "preview must not depend on the date.",
        "`tierup:cost: {quotes: {electricity: {value: 0.11, source: contract 17, asOf: 2026-11-02}}}`.",
        (WARNING,),
    ),
    Code.OVER_MONTHLY_BUDGET: Explanation(
        "Over the monthly budget",
        "Amortisation, power, space and everything else with a price cost more per month than `budget.monthlyUsd`. "
        "Items without a price are not included. Exit code 3 if it is the only error; a warning with `budget.mode: "
        "advisory`.",
        "Use fewer servers or spares, or a larger budget.",
        (ERROR, WARNING),
    ),
    Code.UNKNOWN_QUOTE: Explanation(
        "A quote for an unknown price",
        "A quote needs an id that `tierup cost` prints, the id of a server, `rent-` and a server for your own "
        "offer, or `storage-` and a storage class. A quote with another name would have no effect.",
        "`electricty:` becomes `electricity:`.",
    ),
    Code.BAD_QUOTE: Explanation(
        "A quote with an implausible value",
        "The unit differs from the catalogue's, or the value is outside the possible range: a price per MWh used as"
        " one per kWh is wrong by a factor of a thousand. A rate of the dollar to itself is 1.",
        "`electricity: {value: 0.11, unit: USD/kWh, ...}`; `residual: 0.2`, a share of the price.",
    ),
    Code.OVER_INCREASE: Explanation(
        "The change adds too much cost",
        "The change adds more to the cost of a month than `budget.maxIncreaseUsdPerMonth`. Reported where the costs"
        " before and after are compared; a warning with `budget.mode: advisory`.",
        "Split the change, or raise the limit in the same change, where a reviewer sees it.",
        (ERROR, WARNING),
    ),
    Code.ENGINE_TAKES_NOT: Explanation(
        "The engine takes no such setting",
        "What the engine takes besides the arguments that tierup sets is not known, so a setting could stop it from "
        "starting.",
        "Leave the key out, or use engine `vllm`.",
    ),
    Code.NO_PARSER: Explanation(
        "Unknown parser",
        "The engine does not start with a parser that it does not have. The names are those of the pinned version; "
        "with another version in `images` this is only a warning.",
        "`toolCallParser: hermes`; `none` switches it off.",
        (ERROR, WARNING),
    ),
    Code.CHAT_TEMPLATE: Explanation(
        "An unusable chat template",
        "The file is missing, cannot be read or is not a Jinja template. The engine would start with it and refuse "
        "every chat.",
        "`chatTemplate: templates/chat.jinja`, a file beside the stack file.",
    ),
    Code.UNKNOWN_OPTION: Explanation(
        "Unknown option of the engine",
        "The engine does not start with an option that it does not have, and ignores such a variable. The names are "
        "those of the pinned version; with another version in `images` this is only a warning.",
        "`engineArgs: {max-num-batch-tokens: 4096}` becomes `engineArgs: {max-num-batched-tokens: 4096}`.",
        (ERROR, WARNING),
    ),
    Code.OWNED_OPTION: Explanation(
        "An option that tierup sets",
        "Another key of the stack file sets this option or variable, and sizes, probes or the gateway depend on it. "
        "With two values, only one of them would hold.",
        "`engineArgs: {max-model-len: 8192}` becomes `context: 8192`.",
    ),
    Code.OPTION_VALUE: Explanation(
        "Wrong value of an option",
        "The option expects another type or one of a few values, and the engine would end with a usage message.",
        "`engineArgs: {stream-interval: 4}` for a number, `{enforce-eager: true}` for a switch.",
    ),
    Code.ADAPTER: Explanation(
        "An adapter that the engine cannot serve",
        "The engine has a highest rank of LoRA adapters, and does not start with one above it. GGUF files have no "
        "adapters here, because nobody has tried them together.",
        "`rank: 64`, as `r` in the adapter's adapter_config.json; precision `awq` instead of `q5_k_m`.",
    ),
    Code.SPECULATIVE: Explanation(
        "Speculative decoding that the engine cannot do",
        "The engine checks the guesses of every slot in one step, so that slots times (1 + tokens) must be within its "
        "tokens of a step; with adapters it does not start otherwise. promptLookupMin is at most promptLookupMax, and "
        "a model that embeds writes nothing to guess.",
        "`speculative: {method: ngram, tokens: 4}` with 256 slots, as a step has 2048 tokens on most cards.",
    ),
    Code.BUDGET_NOT_METERED: Explanation(
        "A budget of tokens that nobody counts",
        "The gateway reads answers, and so knows the tokens of a caller, only with `gateway.meterTokens`. Without it "
        "the budget would never be used up.",
        "`meterTokens: true` under `tierup:gateway`, or no `tokensPerMinute` and `tokensPerDay`.",
    ),
    Code.NO_PREFIX_CACHE: Explanation(
        "A part of the prompts is cached, and the cache is off",
        "`sharedPrefix` says that the engine finds a part of the prompts in its prefix cache, but its options turn the "
        "cache off. The plan and the cost count nothing as cached.",
        "Leave out `enable-prefix-caching: false` under `engineArgs`, or `sharedPrefix` of the classes.",
        (WARNING,),
    ),
    Code.NOTHING_TO_BALANCE: Explanation(
        "Balancing by prefix changes nothing",
        "It chooses among the replicas of a model that writes text. A model with one replica leaves nothing to choose, "
        "and models that embed or score read each text once.",
        "Leave `balance` out, or give a model more `replicas`.",
        (WARNING,),
    ),
    Code.WEIGHTS: Explanation(
        "A source of weights that is incomplete, or has keys of another",
        "Each source of `weights` has keys of its own; what belongs to another one would have no effect, and without a "
        "checksum or a commit nobody could say which files are served.",
        "`weights: {from: claim, claim: team-models, folder: qwen2.5-7b}`; docs/weights.md shows each source.",
    ),
    Code.NO_IMAGE_VOLUMES: Explanation(
        "The cluster has no image volumes",
        "Kubernetes mounts images as volumes by default since 1.35. Before, from 1.33, the feature gate ImageVolume "
        "must be on in the API server and on the nodes; a server without it drops the volume.",
        "Upgrade the cluster, turn the gate on and accept this warning, or use `weights: {from: claim}`.",
        (ERROR, WARNING),
    ),
    Code.NO_CLAIM: Explanation(
        "The cluster has no such volume claim",
        "The pods of the model wait until a claim of this name is in the stack's namespace, which the stack does not "
        "make.",
        "`kubectl get pvc -n llm` lists the claims; `weights: {from: claim, claim: team-models}`.",
        (WARNING,),
    ),
    Code.TENURE: Explanation(
        "A setting of the other tenure",
        "`nodes.rent` says at which offer servers are rented, `nodes.purchased` when owned ones were bought. With "
        "the other `nodes.tenure` it would have no effect.",
        "`nodes: {tenure: rented, rent: {provider: Lambda}}`, or `nodes: {tenure: owned, purchased: 2026-10-02}`.",
    ),
    Code.SERVER_PRICE: Explanation(
        "A server's price does not fit that of its cards",
        "What a server costs beside its cards is negative, or more than the cards. One of the two prices is then "
        "hardly what you would pay; the cost of the whole tier follows from the server's.",
        "`cost: {quotes: {entry-2x-rtx-4090: {value: 9800, source: our dealer, asOf: 2026-11-02}}}`.",
        (WARNING,),
    ),
    Code.OWN_COPIES: Explanation(
        "Each server fetches its own model files",
        "No storage class with ReadWriteMany is named, so every server, spares too, keeps the model on its own disk. "
        "That works in every cluster and starts fastest; a new server or another revision is fetched once per server.",
        "`cluster: {modelStorageClass: nfs-client}`; or leave it: this is only a note.",
        (NOTE,),
    ),
    Code.TOLERATION: Explanation(
        "A toleration that Kubernetes refuses",
        "`Exists` compares no value, and `Equal` needs the key whose value it compares.",
        "`tolerations: [{key: dedicated, value: llm, effect: NoSchedule}]`; the operator follows from the value.",
    ),
    Code.NO_CLASS: Explanation(
        "The cluster has no such class",
        "A pod that names a RuntimeClass or a PriorityClass that does not exist is refused by the API server.",
        "`kubectl get runtimeclass,priorityclass` lists them.",
    ),
    Code.TOKEN_IN_CLEAR: Explanation(
        "The hub's token over an unencrypted connection",
        "The fetch sends the token of the secret `hub-token` to `network.hubUrl`, and `modelscope-token` to the "
        "endpoint of ModelScope. With http:// everyone on the way can read it.",
        "`network: {hubUrl: https://hub.example.com}`, or remove the secret if the mirror needs no token.",
    ),
}


def always_error(code: Code) -> bool:
    """Whether the code is never reported as a warning or a note."""
    return EXPLAINED[code].severities == (ERROR,)


# Reported only by a check of the cluster or by `tierup cost`: a plan without them does not mean that they are gone.
NOT_IN_PLANS = frozenset(
    {
        Code.NO_CUSTOM_METRICS,
        Code.MISSING_KIND,
        Code.STALE_PRICE,
        Code.SERVER_PRICE,
        Code.OVER_INCREASE,
        Code.NO_CLASS,
        Code.NO_IMAGE_VOLUMES,
        Code.NO_CLAIM,
    }
)

# What a stack file may accept. A stale acceptance cannot be accepted by another one, a missing secret not at all.
ACCEPTABLE = tuple(
    code for code in Code if not always_error(code) and code not in {Code.STALE_ACCEPTANCE, *SECRET_CODES}
)


def group_of(code: Code) -> str:
    """The heading of a code in docs/findings.md."""
    number = int(code.removeprefix("TIER"))
    return GROUPS[max(start for start in GROUPS if start <= number)]


def worst_severity(code: Code) -> Severity:
    """The worst severity with which a code is reported."""
    return next(item for item in (ERROR, WARNING, NOTE) if item in EXPLAINED[code].severities)

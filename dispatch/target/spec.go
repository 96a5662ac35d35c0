package target

import "headgate/config/unit"

// Spec is a target as the platform team writes it. The JSON Schema and the reference
// are generated from it; values that may hold expressions are compiled from the nodes.
type Spec struct {
	URL     string            `yaml:"url,required" jsonschema:"required" jsonschema_description:"Base of every call: an absolute http or https URL, without query. ${NAME} is replaced by the environment variable when the file is loaded."`
	Base    string            `yaml:"base" jsonschema_description:"Where calls go instead of url when an answer says so: text with expressions on .token, the answer in which the access token of auth: {oauth2: …} came, such as ${{ .token.instance_url }}. Its host is that of url or one of allow_hosts, at a public address. As the target's own base it gets auth, headers and idempotency keys. url stands for it where nothing is sent: explain, tests."`
	Auth    any               `yaml:"auth" jsonschema:"oneof_type=string;object" jsonschema_description:"How calls authenticate: exactly one way, or none (the default). REF is {env: NAME} or {file: PATH}; the secret is read when the call is sent."`
	TLS     *TLS              `yaml:"tls" jsonschema_description:"Certificates of the connections to the target's own hosts. They are read with each call, like every secret, so that a renewed one takes effect without a reload. The token server of oauth2 and hosts that answers name are not shown the client's."`
	Headers map[string]string `yaml:"headers" jsonschema_description:"Headers of every call; values may hold expressions."`
	// AllowHosts is looked at when a call is made, and by the dialler.
	AllowHosts []string `yaml:"allow_hosts" jsonschema_description:"Other hosts that a call may go to when its whole URL is one expression, such as put: ${{ .saved.upload_uri }}: names, *.example.com for all hosts below, each with :port unless it is the usual one. Only https (http where url is http), only public addresses, and without the target's auth and headers; a step's own auth and headers are sent. [] says that such expressions give paths, or URLs of the host of url."`
	Setup      []Setup  `yaml:"setup" jsonschema_description:"Calls that find out what the other calls need and nobody can write down, such as the base URL of an account. What they save is .setup.NAME in the expressions of all other calls. All workers share it, encrypted with a key made of the secret of the call's auth, until ttl is over or an on_error says setup."`
	Call       `yaml:",inline"`
	Steps      []Step    `yaml:"steps" jsonschema_description:"Calls in their order, when one is not enough. Either steps or a method on the target itself."`
	Finally    []CleanUp `yaml:"finally" jsonschema_description:"Calls that are made once the end of a delivery is known, such as the deletion of what an earlier step made. Whatever comes of them, the end stays as it is. After a crash they may be made again. What a split, or a round that is followed by another one, has made is not cleaned up after."`
	Batch      *Batch    `yaml:"batch" jsonschema_description:"Send many deliveries in one call. Its expressions use .records, the list of payloads, and .keys, for each record what names its delivery whatever batch it comes in, instead of .payload; without a body, the list of payloads is sent as one JSON array. All records share the batch's end, also when an expression fails on one of them: what can fail belongs into the route's transform."`
	Order      *Order    `yaml:"order" jsonschema_description:"Send deliveries that are about the same thing one after the other, in the order in which they were accepted, whatever their retries and batches. Those of different keys do not wait for each other."`
	Error      string    `yaml:"error" jsonschema_description:"Expression on .response that gives the text of a refusal, for backends whose error messages are not found by themselves."`
	Retry      RetrySpec `yaml:"retry" jsonschema_description:"When and how often a failed call is tried again."`
	Limits     Limits    `yaml:"limits" jsonschema_description:"What the target is asked to take at a time."`
	Breaker    Breaker   `yaml:"breaker" jsonschema_description:"When to leave a failing backend alone for a while."`
	// MaxResponse bounds an answer, decompressed.
	MaxResponse unit.Size `yaml:"max_response" jsonschema_description:"Largest answer that is read, decompressed. Default 1MB."`
}

// Step is one of several calls of a target.
type Step struct {
	Name    string `yaml:"name,required" jsonschema:"required,pattern=^[a-z0-9_-]+$" jsonschema_description:"Name of the step, unique in the target; part of the idempotency key that the backend sees."`
	When    string `yaml:"when" jsonschema_description:"Condition on what the step could send: when it is false, the step is passed over. Default: always."`
	Foreach string `yaml:"foreach" jsonschema:"enum=chunk" jsonschema_description:"chunk: the step is repeated until all records of the batch are uploaded; see batch.chunk."`
	Call    `yaml:",inline"`
	Headers map[string]string `yaml:"headers" jsonschema_description:"Headers of this call; the same name replaces the target's."`
	// HeadersFrom goes where the call goes, like the step's own headers.
	HeadersFrom string        `yaml:"headers_from" jsonschema_description:"Expression that gives more headers of this call, such as those that an earlier answer asks for: a mapping, or a list of mappings with header (or name) and value."`
	Auth        any           `yaml:"auth" jsonschema:"oneof_type=string;object" jsonschema_description:"Instead of the target's auth; none sends no credentials."`
	Timeout     unit.Duration `yaml:"timeout" jsonschema_description:"Instead of limits.timeout."`
}

// Request is what one HTTP call sends, and where.
type Request struct {
	Get    string `yaml:"get" jsonschema_description:"GET this path, appended to url. Interpolated values are percent-encoded. A path that is one expression is used as it is, and may be a whole URL: see allow_hosts."`
	Post   string `yaml:"post" jsonschema_description:"POST to this path, appended to url."`
	Put    string `yaml:"put" jsonschema_description:"PUT to this path, appended to url."`
	Patch  string `yaml:"patch" jsonschema_description:"PATCH this path, appended to url."`
	Delete string `yaml:"delete" jsonschema_description:"DELETE this path, appended to url."`

	JSON        any    `yaml:"json" jsonschema_description:"Body sent as JSON: any YAML value with expressions. JSON inside of a string is made with tojson: body: ${{ .payload | tojson }}. Without any body key, the first step that is a POST, PUT or PATCH sends the payload; with chunk: {into: step}, the one with foreach."`
	NDJSON      any    `yaml:"ndjson" jsonschema:"oneof_type=string;array" jsonschema_description:"Body sent as JSON documents, one a line: an expression that gives a list, or a list."`
	CSV         *CSV   `yaml:"csv" jsonschema:"oneof_type=string;array;object" jsonschema_description:"Body sent as CSV, the first line naming the columns: an expression that gives a list of flat objects, a list, or a mapping that says how they are written."`
	XML         *XML   `yaml:"xml" jsonschema_description:"Body sent as XML. The keys of objects, in alphabetical order, are elements, a list repeats the element of its key, null is an empty element. There are no attributes and no namespaces; other documents are written with raw."`
	Form        any    `yaml:"form" jsonschema:"oneof_type=object;string" jsonschema_description:"Body sent as an HTML form: a mapping, or an expression that gives one."`
	Multipart   []Part `yaml:"multipart" jsonschema_description:"Body sent as multipart/form-data: its parts. An attempt that is made again sends the same bytes, boundary included."`
	Raw         string `yaml:"raw" jsonschema_description:"Body sent as it is: text with expressions."`
	ContentType string `yaml:"content_type" jsonschema_description:"Content-Type of the body, instead of the usual one."`
	Gzip        bool   `yaml:"gzip" jsonschema_description:"Send the body compressed, with Content-Encoding: gzip. Default false."`
}

// Call is one HTTP call: on the target itself, or in a step.
type Call struct {
	Request `yaml:",inline"`

	Assert  string         `yaml:"assert" jsonschema_description:"Condition on an answer with an expected status: false means that the call failed all the same. For backends that answer errors with 200. Such an answer is a refusal, which is not tried again; of a poll it is a failed poll."`
	Expect  []int          `yaml:"expect" jsonschema_description:"Statuses that mean the call worked. Default: any 2xx."`
	OnError []Rule         `yaml:"on_error" jsonschema_description:"What follows from an answer that is a failure, by status or by assert, instead of what usually does. The first rule whose condition holds counts. A step that polls takes refresh_auth and setup only: for the rest it has until."`
	Save    map[string]any `yaml:"save" jsonschema_description:"Values of the answer kept for later steps as .saved.NAME. Null and empty are failures. The one named job is the backend's job ID."`
	Result  map[string]any `yaml:"result" jsonschema_description:"Values of the last answer shown in the tracking answer."`
	Warn    string         `yaml:"warn" jsonschema_description:"Condition on the last answer: true makes the delivery warned instead of succeeded."`
	Until   *Until         `yaml:"until" jsonschema_description:"Repeat this last call until the backend's job is over. A backend that can call back is told where with ${{ .callback_url }} in an earlier call, or in this one: a callback brings the next poll forward, and is not believed otherwise."`
	Rejects ResultLists    `yaml:"rejects" jsonschema:"oneof_type=object;array" jsonschema_description:"Where the backend tells what came of single records: a list of items, or several that are read one after the other and joined. A list is in a call of its own, read after a job ended partial, warned or failed, or in the last answer itself. A record that several items name takes the worst of them: rejected, retry, warned, succeeded."`

	Reconcile *Reconcile `yaml:"reconcile" jsonschema_description:"Call that finds out whether an earlier try of this call had its effect: after a time-out, a lost connection, a 5xx or the death of a worker it is made before the call is made again. For calls that make something, at backends that do not look at the Idempotency-Key. What the call makes is best named by .round, and looked up by that."`
}

// Rule says what follows from an answer that is a failure.
type Rule struct {
	When string `yaml:"when,required" jsonschema:"required" jsonschema_description:"Condition on .response: the rule is for such answers."`
	Then string `yaml:"then,required" jsonschema:"required,enum=retry,enum=wait,enum=strip,enum=split,enum=setup,enum=abort,enum=refresh_auth" jsonschema_description:"retry: try again, as after a server error. wait: the backend has no room now; ask again later, which is no attempt. strip: of a batch, the records that records names are rejected and the others sent again. split: a batch is sent again in halves, and those in halves, until what is refused stands alone; more go into an upload again after that. setup: forget what setup has found, and try again. abort: do not try again. refresh_auth: with oauth2, drop the access token and try again with a new one, as after 401."`
	// Every is for wait.
	After   string        `yaml:"after" jsonschema_description:"For retry and wait: expression on .response that gives how long the backend wants to be left alone, in seconds or as a duration such as 30s. It counts like Retry-After and instead of it; no value counts for nothing."`
	Every   unit.Duration `yaml:"every" jsonschema_description:"For wait: how long until the next try, unless the backend asks for more. Default 30s."`
	Records string        `yaml:"records" jsonschema_description:"For strip: expression on .response that gives the places in the upload of the records it refuses, the first being 0, as a number or a list of numbers."`
}

// Until says how to poll a job.
type Until struct {
	State     string `yaml:"state,required" jsonschema:"required" jsonschema_description:"Expression that gives the state of the backend's job."`
	Running   []any  `yaml:"running" jsonschema_description:"States in which the job still runs."`
	Succeeded []any  `yaml:"succeeded" jsonschema_description:"States in which the job is done."`
	Warned    []any  `yaml:"warned" jsonschema_description:"States in which the job is done, with warnings."`
	Partial   []any  `yaml:"partial" jsonschema_description:"States in which some records were refused. Without rejects the delivery is unknown then."`
	Failed    []any  `yaml:"failed" jsonschema_description:"States in which the job ended without success."`
	States    []any  `yaml:"states" jsonschema_description:"All states that the backend has by its documentation, for headgate check: each is to be in one of the lists, and these are to name no other."`
	// UnknownState is about what the file says; States only helps to write the lists.
	UnknownState string `yaml:"unknown_state" jsonschema:"enum=wait,enum=unknown,enum=failed" jsonschema_description:"What follows from a state that no list names. wait: ask again, until the deadline. unknown: the delivery is unknown at once, its job ID kept. failed: the delivery has failed. An empty state is waited out in any case. Default wait."`
	NotFound     string `yaml:"not_found" jsonschema:"enum=wait,enum=unknown,enum=failed" jsonschema_description:"What follows from a poll that is answered 404 or 410. wait: not yet, for backends that know a new job only after a while. unknown: the delivery is unknown at once, its job ID kept, for those that forget jobs that are over. failed: the delivery has failed, for those that forget jobs that did nothing. Default: it is a failed poll, of which attempts in a row are allowed."`
	// PartialIf is for backends that call a job done although it refused records.
	PartialIf string  `yaml:"partial_if" jsonschema_description:"Condition on an answer with a state of succeeded or warned: true means partial, such as ${{ .response.body.failed_count > 0 }}."`
	Every     PollGap `yaml:"every" jsonschema_description:"How long to wait between polls; 10% of jitter is added. With .callback_url, which tells when to look, the default is first: 30s, max: 10m."`
	// Deadline counts from the first run of the step.
	Deadline unit.Duration `yaml:"deadline" jsonschema_description:"How long the job may take; after that the delivery is unknown, its job ID kept. Default 24h."`
	Attempts int           `yaml:"attempts" jsonschema_description:"How many poll calls in a row may fail before the delivery is unknown. Default 20."`
	Progress *Progress     `yaml:"progress" jsonschema_description:"How far the job is, for the tracking answer."`
	// Split is for backends that fail a whole job because of one record.
	Split   bool   `yaml:"split" jsonschema_description:"When the job of a batch failed: send its records again in halves, and those in halves, until the one that it fails for stands alone. Only for backends that took nothing of a job that failed. Default false."`
	Job     string `yaml:"job" jsonschema_description:"Expression that gives the backend's job ID for the tracking answer. Default: .saved.job."`
	Message string `yaml:"message" jsonschema_description:"Expression that gives the backend's own words on the job."`
}

// Progress says how far a backend's job is.
type Progress struct {
	Done  string `yaml:"done,required" jsonschema:"required" jsonschema_description:"Expression that gives how many records are done."`
	Total string `yaml:"total" jsonschema_description:"Expression that gives how many there are."`
}

// PollGap is the time between polls: first, then factor times more with each poll, up
// to max.
type PollGap struct {
	First  unit.Duration `yaml:"first" jsonschema_description:"Wait after the first poll. Default 2s."`
	Factor float64       `yaml:"factor" jsonschema_description:"How much longer each wait is than the one before. Default 1.5."`
	Max    unit.Duration `yaml:"max" jsonschema_description:"Longest wait. Default 60s."`
}

// Batch says how deliveries are gathered into one upload. All records of a batch get its
// end.
type Batch struct {
	MaxRecords     int           `yaml:"max_records" jsonschema_description:"Most records in one batch. Default 100."`
	MaxBytes       unit.Size     `yaml:"max_bytes" jsonschema_description:"Most bytes of one upload: of the body as it is written, before gzip, with all that stands around the records. What does not fit goes into the next batch; a record that is larger by itself is rejected. With chunk, most bytes of all records of the batch, as a JSON array. At most 1GB; 64MB for an upload that is held in memory, which headgate explain tells. Records are in Redis until their batch has ended. Default 5MB."`
	MaxRecordBytes unit.Size     `yaml:"max_record_bytes" jsonschema_description:"Most bytes of one record, as JSON; a larger one is rejected by itself. Default: as many as an upload holds."`
	Linger         unit.Duration `yaml:"linger" jsonschema_description:"How long a batch that is not full waits for more records, from its first one on. Default 1s."`
	MaxInFlight    int           `yaml:"max_in_flight" jsonschema_description:"Batches of the target that are under way at a time, jobs of the backend included, for all workers together; the others wait, which is no attempt. Default: no limit."`
	Chunk          *Chunk        `yaml:"chunk" jsonschema_description:"Send a batch in several uploads."`
}

// Chunk says how a batch is sent in parts.
type Chunk struct {
	Into       string    `yaml:"into,required" jsonschema:"required,enum=job,enum=step" jsonschema_description:"job: all steps are gone through once for each part, one after the other: a job each. step: the step with foreach: chunk is repeated for each part, the others are not: several uploads into one job."`
	MaxRecords int       `yaml:"max_records" jsonschema_description:"Most records in one upload. Default: those of the batch."`
	MaxBytes   unit.Size `yaml:"max_bytes" jsonschema_description:"Most bytes of one upload: of the body as it is written, before gzip. Default: those of the batch."`
}

// RetrySpec says when a failed call is tried again.
type RetrySpec struct {
	Attempts int           `yaml:"attempts" jsonschema_description:"Tries of one step, the first one included. Default 8."`
	First    unit.Duration `yaml:"first" jsonschema_description:"Longest wait before the second try; it doubles with each try, and the wait is drawn at random below it. Default 1s."`
	Max      unit.Duration `yaml:"max" jsonschema_description:"Longest wait between tries. Default 10m."`
	Within   unit.Duration `yaml:"within" jsonschema_description:"No try later than this after the request was accepted. Default 24h."`
	On       []int         `yaml:"on" jsonschema_description:"Statuses that are tried again besides the usual ones (408, 425, 429, 5xx)."`
	NotOn    []int         `yaml:"not_on" jsonschema_description:"Statuses that are not tried again although they usually are."`
}

// Limits bound what a target is asked to do.
type Limits struct {
	Concurrency int           `yaml:"concurrency" jsonschema_description:"Calls at a time for each worker process. Default 16."`
	Rate        unit.Rate     `yaml:"rate" jsonschema_description:"Calls in a span of time for all workers together, polls included, such as 100/s. They are spread evenly over the span. Default: no limit."`
	Timeout     unit.Duration `yaml:"timeout" jsonschema_description:"How long one call may take, the reading of its answer included. Default 10s."`
	Backlog     int           `yaml:"backlog" jsonschema_description:"Deliveries of all tenants that may be under way: accepted and not yet ended. While there are as many, requests that feed the target are answered 503. Default: no limit."`
	// BacklogPerTenant is Backlog for one tenant.
	BacklogPerTenant int `yaml:"backlog_per_tenant" jsonschema_description:"Deliveries of one tenant that may be under way. While there are as many, its requests that feed the target are answered 429. Default: no limit."`
	FairShare        int `yaml:"fair_share" jsonschema_description:"About how many deliveries of one tenant that have not begun may wait in the target's own queue; what comes on top waits in its bulk queue, which gives way to the deliveries of other tenants. Counted in 64 parts. Default 1000."`
}

// Breaker says when a failing backend is left alone. See ARCHITECTURE.md, "How a target
// is held back".
type Breaker struct {
	Failures int           `yaml:"failures" jsonschema_description:"Failures in a row (time-outs, no connection, 5xx), as seen by one worker, that open the breaker for all. Default 10."`
	OpenFor  unit.Duration `yaml:"open_for" jsonschema_description:"How long it stays open before one delivery is let through as a probe; twice as long after each probe that fails, at most ten times. Meanwhile deliveries wait in their queue and use up no attempts. Default 30s."`
}

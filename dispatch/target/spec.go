package target

import "headgate/config/unit"

// Spec is a target as the platform team writes it. The JSON Schema and the reference
// are generated from it; values that may hold expressions are compiled from the nodes.
type Spec struct {
	URL     string            `yaml:"url,required" jsonschema:"required" jsonschema_description:"Base of every call: an absolute http or https URL, without query. ${NAME} is replaced by the environment variable when the file is loaded."`
	Auth    any               `yaml:"auth" jsonschema:"oneof_type=string;object" jsonschema_description:"How calls authenticate: exactly one way, or none (the default). REF is {env: NAME} or {file: PATH}; the secret is read when the call is sent."`
	Headers map[string]string `yaml:"headers" jsonschema_description:"Headers of every call; values may hold expressions."`
	// AllowHosts is looked at when a call is made, and by the dialler.
	AllowHosts []string `yaml:"allow_hosts" jsonschema_description:"Other hosts that a call may go to when its whole URL is one expression, such as put: ${{ .saved.upload_uri }}: names, *.example.com for all hosts below, each with :port unless it is the usual one. Only https (http where url is http), only public addresses, and without the target's auth and headers; a step's own auth and headers are sent. [] says that such expressions give paths, or URLs of the host of url."`
	Call       `yaml:",inline"`
	Steps      []Step    `yaml:"steps" jsonschema_description:"Calls in their order, when one is not enough. Either steps or a method on the target itself."`
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
	Call    `yaml:",inline"`
	Headers map[string]string `yaml:"headers" jsonschema_description:"Headers of this call; the same name replaces the target's."`
	// HeadersFrom goes where the call goes, like the step's own headers.
	HeadersFrom string        `yaml:"headers_from" jsonschema_description:"Expression that gives more headers of this call, such as those that an earlier answer asks for: a mapping, or a list of mappings with header (or name) and value."`
	Auth        any           `yaml:"auth" jsonschema:"oneof_type=string;object" jsonschema_description:"Instead of the target's auth; none sends no credentials."`
	Timeout     unit.Duration `yaml:"timeout" jsonschema_description:"Instead of limits.timeout."`
}

// Call is one HTTP call: on the target itself, or in a step.
type Call struct {
	Get    string `yaml:"get" jsonschema_description:"GET this path, appended to url. Interpolated values are percent-encoded. A path that is one expression is used as it is, and may be a whole URL: see allow_hosts."`
	Post   string `yaml:"post" jsonschema_description:"POST to this path, appended to url."`
	Put    string `yaml:"put" jsonschema_description:"PUT to this path, appended to url."`
	Patch  string `yaml:"patch" jsonschema_description:"PATCH this path, appended to url."`
	Delete string `yaml:"delete" jsonschema_description:"DELETE this path, appended to url."`

	JSON        any    `yaml:"json" jsonschema_description:"Body sent as JSON: any YAML value with expressions. JSON inside of a string is made with tojson: body: ${{ .payload | tojson }}. Without any body key, the first POST, PUT or PATCH sends the payload."`
	NDJSON      any    `yaml:"ndjson" jsonschema:"oneof_type=string;array" jsonschema_description:"Body sent as JSON documents, one a line: an expression that gives a list, or a list."`
	CSV         *CSV   `yaml:"csv" jsonschema:"oneof_type=string;array;object" jsonschema_description:"Body sent as CSV, the first line naming the columns: an expression that gives a list of flat objects, a list, or a mapping that says how they are written."`
	XML         *XML   `yaml:"xml" jsonschema_description:"Body sent as XML. The keys of objects, in alphabetical order, are elements, a list repeats the element of its key, null is an empty element. There are no attributes and no namespaces; other documents are written with raw."`
	Form        any    `yaml:"form" jsonschema:"oneof_type=object;string" jsonschema_description:"Body sent as an HTML form: a mapping, or an expression that gives one."`
	Multipart   []Part `yaml:"multipart" jsonschema_description:"Body sent as multipart/form-data: its parts. An attempt that is made again sends the same bytes, boundary included."`
	Raw         string `yaml:"raw" jsonschema_description:"Body sent as it is: text with expressions."`
	ContentType string `yaml:"content_type" jsonschema_description:"Content-Type of the body, instead of the usual one."`
	Gzip        bool   `yaml:"gzip" jsonschema_description:"Send the body compressed, with Content-Encoding: gzip. Default false."`

	Assert  string         `yaml:"assert" jsonschema_description:"Condition on an answer with an expected status: false means that the call failed all the same. For backends that answer errors with 200. Such an answer is a refusal, which is not tried again; of a poll it is a failed poll."`
	Expect  []int          `yaml:"expect" jsonschema_description:"Statuses that mean the call worked. Default: any 2xx."`
	OnError []Rule         `yaml:"on_error" jsonschema_description:"What follows from an answer that is a failure, by status or by assert, instead of what usually does. The first rule whose condition holds counts. Polls have until instead."`
	Save    map[string]any `yaml:"save" jsonschema_description:"Values of the answer kept for later steps as .saved.NAME. Null and empty are failures. The one named job is the backend's job ID."`
	Result  map[string]any `yaml:"result" jsonschema_description:"Values of the last answer shown in the tracking answer."`
	Warn    string         `yaml:"warn" jsonschema_description:"Condition on the last answer: true makes the delivery warned instead of succeeded."`
	Until   *Until         `yaml:"until" jsonschema_description:"Repeat this last call until the backend's job is over."`
	Rejects *Rejects       `yaml:"rejects" jsonschema_description:"Where the backend tells which records it refused: in a call of its own, read after a job ended partial, warned or failed, or in the last answer itself."`
}

// Rule says what follows from an answer that is a failure.
type Rule struct {
	When string `yaml:"when,required" jsonschema:"required" jsonschema_description:"Condition on .response: the rule is for such answers."`
	Then string `yaml:"then,required" jsonschema:"required,enum=retry,enum=wait,enum=strip,enum=abort" jsonschema_description:"retry: try again, as after a server error. wait: the backend has no room now; ask again later, which is no attempt. strip: of a batch, the records that records names are rejected and the others sent again. abort: do not try again."`
	// Every is for wait.
	Every   unit.Duration `yaml:"every" jsonschema_description:"For wait: how long until the next try, unless the backend asks for more. Default 30s."`
	Records string        `yaml:"records" jsonschema_description:"For strip: expression on .response that gives the places in the upload of the records it refuses, the first being 0, as a number or a list of numbers."`
}

// Until says how to poll a job.
type Until struct {
	State     string `yaml:"state,required" jsonschema:"required" jsonschema_description:"Expression that gives the state of the backend's job."`
	Running   []any  `yaml:"running" jsonschema_description:"States in which the job still runs. A state that no list names is waited for, too."`
	Succeeded []any  `yaml:"succeeded" jsonschema_description:"States in which the job is done."`
	Warned    []any  `yaml:"warned" jsonschema_description:"States in which the job is done, with warnings."`
	Partial   []any  `yaml:"partial" jsonschema_description:"States in which some records were refused. Without rejects the delivery is unknown then."`
	Failed    []any  `yaml:"failed" jsonschema_description:"States in which the job ended without success."`
	// PartialIf is for backends that call a job done although it refused records.
	PartialIf string  `yaml:"partial_if" jsonschema_description:"Condition on an answer with a state of succeeded or warned: true means partial, such as ${{ .response.body.failed_count > 0 }}."`
	Every     PollGap `yaml:"every" jsonschema_description:"How long to wait between polls; 10% of jitter is added."`
	// Deadline counts from the first run of the step.
	Deadline unit.Duration `yaml:"deadline" jsonschema_description:"How long the job may take; after that the delivery is unknown, its job ID kept. Default 24h."`
	Attempts int           `yaml:"attempts" jsonschema_description:"How many poll calls in a row may fail before the delivery is unknown. Default 20."`
	Progress *Progress     `yaml:"progress" jsonschema_description:"How far the job is, for the tracking answer."`
	Job      string        `yaml:"job" jsonschema_description:"Expression that gives the backend's job ID for the tracking answer. Default: .saved.job."`
	Message  string        `yaml:"message" jsonschema_description:"Expression that gives the backend's own words on the job."`
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

// Rejects says how to read what a job refused.
type Rejects struct {
	Get      string     `yaml:"get" jsonschema_description:"GET this path, appended to url. Without it the list is read from the last answer."`
	Items    string     `yaml:"items,required" jsonschema:"required" jsonschema_description:"Expression that gives the list of refused records in .response.body."`
	Match    string     `yaml:"match" jsonschema_description:"Condition on .item: is it our record? Default: every item is, since a job has one record. In a batch index or key says which record is meant."`
	Index    string     `yaml:"index" jsonschema_description:"Expression on .item that gives the place of its record in the upload, the first being 0. For a batch: this or key."`
	Key      *RecordKey `yaml:"key" jsonschema_description:"What an item and its record have in common, for a batch whose items name no place."`
	Reason   string     `yaml:"reason" jsonschema_description:"Expression on .item that gives the reason for a person."`
	Code     string     `yaml:"code" jsonschema_description:"Expression on .item that gives the backend's code for the reason."`
	Warnings []any      `yaml:"warnings" jsonschema_description:"Codes that are only warnings: the record was taken."`
	Total    string     `yaml:"total" jsonschema_description:"Expression on .response that gives how many items there should be."`
	Page     *Page      `yaml:"page" jsonschema_description:"How to read page by page. Default: one page."`
	MaxPages int        `yaml:"max_pages" jsonschema_description:"Most pages read. Default 100."`
}

// RecordKey says how an item and a record are found to belong together. Records with the
// same value share their items.
type RecordKey struct {
	Item   string `yaml:"item,required" jsonschema:"required" jsonschema_description:"Expression on .item."`
	Record string `yaml:"record,required" jsonschema:"required" jsonschema_description:"Expression on .record, which is the record's payload, and on .key, which names its delivery."`
}

// Page is paging by offset.
type Page struct {
	Limit       int    `yaml:"limit" jsonschema_description:"Items a page. Default 1000."`
	LimitParam  string `yaml:"limit_param" jsonschema_description:"Query parameter for the limit. Default limit."`
	OffsetParam string `yaml:"offset_param" jsonschema_description:"Query parameter for the number of items to pass over. Default offset."`
	More        string `yaml:"more" jsonschema_description:"Condition on .response: is there another page? Default: the page was full."`
}

// Batch says how deliveries are gathered into one upload. All records of a batch get its
// end.
type Batch struct {
	MaxRecords int           `yaml:"max_records" jsonschema_description:"Most records in one batch. Default 100."`
	MaxBytes   unit.Size     `yaml:"max_bytes" jsonschema_description:"Most bytes of one batch, as the JSON array of its records. What does not fit goes into the next batch; a record that is larger by itself is rejected. Default 5MB."`
	Linger     unit.Duration `yaml:"linger" jsonschema_description:"How long a batch that is not full waits for more records, from its first one on. Default 1s."`
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

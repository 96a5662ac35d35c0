package simulate

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

const salesforceMaxBytes = 64 << 20 // the vendor's is 100 MB, over what is read here

// SalesforceTokenLife is how long an access token of [NewSalesforce] is good. No answer tells.
const SalesforceTokenLife = 2 * time.Hour

// salesforce simulates ingest jobs of Bulk API 2.0, and the token server of the org.
type salesforce struct {
	*vendor
	timing timing
	tokens *tokens
	jobs   *history[*salesforceJob]
	known  *history[string] // "object external-ID" → the record's ID
	count  int
}

// salesforceJob is an ingest job. What becomes of its rows is settled when it is closed.
type salesforceJob struct {
	job
	id, state, object, external string
	uploaded                    bool
	header                      []string
	rows                        [][]string
	message                     string // why it failed
	failed, succeeded           [][]string
}

// NewSalesforce makes a simulation of Salesforce's POST /services/oauth2/token (client
// credentials; o.Secret is the client's) and of upserts under
// /services/data/v*/jobs/ingest. A row without its external ID, or with an Email that is none, is refused;
// so is one whose external ID the file has twice, with its like. The results come in an order
// of their own, with the values reformatted.
func NewSalesforce(o VendorOptions) *Backend {
	v := newVendor("salesforce", o, nil, salesforceRefuse)
	s := &salesforce{
		vendor: v, timing: newTiming(v.PollsUntilDone, v.JobDuration, v.Now), tokens: newTokens(SalesforceTokenLife, v.TokenCalls, v.Now),
		jobs: newHistory[*salesforceJob](), known: newHistory[string](),
	}
	v.credential = s.credential
	v.mux.HandleFunc("POST /services/oauth2/token", s.token)
	const ingest = " /services/data/{version}/jobs/ingest"
	v.on("POST"+ingest, maxBody, s.create)
	v.on("PUT"+ingest+"/{id}/batches", salesforceMaxBytes, s.withJob(s.upload))
	v.on("PATCH"+ingest+"/{id}", maxBody, s.withJob(s.close))
	v.on("GET"+ingest+"/{id}", 0, s.withJob(s.show))
	v.on("GET"+ingest+"/{id}/failedResults", 0, s.withJob(s.results("sf__Id", "sf__Error", func(j *salesforceJob) [][]string { return j.failed })))
	v.on("GET"+ingest+"/{id}/successfulResults", 0, s.withJob(s.results("sf__Id", "sf__Created", func(j *salesforceJob) [][]string { return j.succeeded })))
	v.on("GET"+ingest+"/{id}/unprocessedrecords", 0, s.withJob(s.unprocessed))
	return v.backend()
}

func salesforceRefuse(w http.ResponseWriter, status int, message string) {
	code, text, ok := strings.Cut(message, ": ")
	switch {
	case status == http.StatusUnauthorized:
		code, text = "INVALID_SESSION_ID", "Session expired or invalid"
	case !ok:
		code, text = "CLIENTINPUTERROR", message
	}
	writeJSON(w, status, []map[string]string{{"errorCode": code, "message": text}})
}

// credential gives the client's secret for a token that is good.
func (s *salesforce) credential(r *http.Request) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, good := s.tokens.show(bearer(r)); !good {
		return ""
	}
	return cmp.Or(s.Secret, "any")
}

func (s *salesforce) token(w http.ResponseWriter, r *http.Request) {
	secret := password(r)
	if secret == "" {
		secret = r.PostFormValue("client_secret")
	}
	switch {
	case r.PostFormValue("grant_type") != "client_credentials":
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type", "error_description": "grant type not supported"})
		return
	case !matches(secret, s.Secret):
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_client", "error_description": "invalid client credentials"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]string{ // how long it lives is not told
		"access_token": s.tokens.give(), "token_type": "Bearer", "instance_url": baseURL(r), "issued_at": fmt.Sprint(s.Now().UnixMilli()),
	})
}

type onJob func(w http.ResponseWriter, r *http.Request, j *salesforceJob, body []byte)

// withJob finds the job of the path.
func (s *salesforce) withJob(next onJob) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, r *http.Request, body []byte) {
		j, ok := s.jobs.get(r.PathValue("id"))
		if !ok {
			s.refuse(w, http.StatusNotFound, "NOT_FOUND: The requested resource does not exist")
			return
		}
		next(w, r, j, body)
	}
}

func (s *salesforce) create(w http.ResponseWriter, _ *http.Request, body []byte) {
	var in struct{ Object, Operation, ExternalIDFieldName, ContentType, LineEnding string }
	switch {
	case !s.read(w, body, &in):
	case in.Object == "":
		s.refuse(w, http.StatusBadRequest, "INVALIDENTITY: Unable to find object: "+in.Object)
	case in.Operation != "upsert" || in.ExternalIDFieldName == "":
		s.refuse(w, http.StatusBadRequest, "INVALIDJOB: the operation "+in.Operation+" is not simulated, and upsert needs externalIdFieldName")
	case in.ContentType != "CSV" || in.LineEnding != "LF":
		s.refuse(w, http.StatusBadRequest, "INVALIDJOB: only CSV with LF is simulated")
	default:
		s.count++
		j := &salesforceJob{id: fmt.Sprintf("750R%09d", s.count), state: "Open", object: in.Object, external: in.ExternalIDFieldName}
		s.jobs.add(j.id, j)
		writeJSON(w, http.StatusOK, s.view(j))
	}
}

func (s *salesforce) upload(w http.ResponseWriter, r *http.Request, j *salesforceJob, body []byte) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	rows, err := csv.NewReader(strings.NewReader(string(body))).ReadAll()
	switch {
	case kind != "text/csv":
		s.refuse(w, http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE: Content-Type must be text/csv")
	case j.state != "Open":
		s.refuse(w, http.StatusBadRequest, "INVALIDJOBSTATE: the job is "+j.state)
	case j.uploaded:
		s.refuse(w, http.StatusBadRequest, "CLIENTINPUTERROR: ClientInputError : Found multiple contents for job: <"+j.id+">, do PUT once")
	default:
		j.uploaded = true
		switch {
		case err != nil || len(rows) == 0:
			j.message = "InvalidBatch : Unable to read the CSV"
		case strings.Contains(string(body), "\r\n"):
			j.message = "ClientInputError : LineEnding is invalid on user data"
		default:
			j.header, j.rows = rows[0], rows[1:]
		}
		w.WriteHeader(http.StatusCreated)
	}
}

func (s *salesforce) close(w http.ResponseWriter, _ *http.Request, j *salesforceJob, body []byte) {
	var in struct{ State string }
	switch {
	case !s.read(w, body, &in):
	case j.state != "Open" || in.State != "UploadComplete" && in.State != "Aborted":
		s.refuse(w, http.StatusBadRequest, "INVALIDJOBSTATE: a job in state "+j.state+" does not become "+in.State)
	default:
		j.state, j.job = in.State, s.timing.start()
		if in.State == "UploadComplete" && j.message == "" {
			s.judge(j)
		}
		writeJSON(w, http.StatusOK, s.view(j))
	}
}

func (s *salesforce) show(w http.ResponseWriter, _ *http.Request, j *salesforceJob, _ []byte) {
	if j.state == "UploadComplete" || j.state == "InProgress" {
		switch s.timing.poll(&j.job) {
		case running:
			j.state = "InProgress"
		case finished:
			if j.state = "JobComplete"; j.message != "" {
				j.state = "Failed"
			}
		case queued:
		}
	}
	writeJSON(w, http.StatusOK, s.view(j))
}

func (s *salesforce) view(j *salesforceJob) map[string]any {
	out := map[string]any{"id": j.id, "object": j.object, "operation": "upsert", "state": j.state, "contentType": "CSV", "lineEnding": "LF"}
	if j.state == "JobComplete" || j.state == "Failed" {
		out["numberRecordsProcessed"], out["numberRecordsFailed"] = len(j.failed)+len(j.succeeded), len(j.failed)
	}
	if j.state == "Failed" {
		out["errorMessage"] = j.message
	}
	return out
}

// fieldName is what a column may be called.
var fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)?$`)

// judge settles what becomes of each row; the lock is held.
func (s *salesforce) judge(j *salesforceJob) {
	at := map[string]int{}
	for i, name := range j.header {
		if !fieldName.MatchString(name) {
			j.message = "InvalidBatch : Field name not found : " + name
			return
		}
		at[name] = i
	}
	key, ok := at[j.external]
	if !ok {
		j.message = "InvalidBatch : Field name not found : " + j.external
		return
	}
	times := map[string]int{}
	for _, row := range j.rows {
		times[row[key]]++
	}
	email, mails := at["Email"]
	for i := len(j.rows) - 1; i >= 0; i-- { // not in the order of the file
		row := j.rows[i]
		id := row[key]
		refusal := ""
		switch {
		case id == "" || id == "#N/A":
			refusal = fmt.Sprintf("MISSING_ARGUMENT:%s not specified:--", j.external)
		case times[id] > 1:
			refusal = fmt.Sprintf("DUPLICATE_VALUE:Duplicate external id specified: %s:%s --", id, j.external)
		case mails && row[email] != "" && row[email] != "#N/A" && !validEmail(row[email]):
			refusal = fmt.Sprintf("INVALID_EMAIL_ADDRESS:Email: invalid email address: %s:Email --", row[email])
		}
		if refusal != "" {
			j.failed = append(j.failed, append([]string{"", refusal}, row...))
			continue
		}
		record, known := s.known.get(j.object + " " + id)
		if !known {
			record = fmt.Sprintf("003R%09d", len(s.known.order)+1)
			s.known.add(j.object+" "+id, record)
		}
		j.succeeded = append(j.succeeded, append([]string{record, fmt.Sprint(!known)}, reformatted(row)...))
	}
}

// reformatted writes booleans the way the vendor gives them back.
func reformatted(row []string) []string {
	out := make([]string, len(row))
	for i, cell := range row {
		out[i] = cell
		var b bool
		if json.Unmarshal([]byte(cell), &b) == nil {
			out[i] = map[bool]string{true: "1", false: "0"}[b]
		}
	}
	return out
}

func (s *salesforce) results(first, second string, of func(*salesforceJob) [][]string) onJob {
	return func(w http.ResponseWriter, _ *http.Request, j *salesforceJob, _ []byte) {
		writeCSV(w, append([]string{first, second}, j.header...), of(j))
	}
}

// unprocessed gives the rows of a job that ended before them.
func (s *salesforce) unprocessed(w http.ResponseWriter, _ *http.Request, j *salesforceJob, _ []byte) {
	rows := j.rows
	if len(j.failed)+len(j.succeeded) > 0 {
		rows = nil
	}
	writeCSV(w, j.header, rows)
}

// writeCSV answers with a table.
func writeCSV(w http.ResponseWriter, header []string, rows [][]string) {
	w.Header().Set("Content-Type", "text/csv")
	out := csv.NewWriter(w)
	_ = out.WriteAll(append([][]string{header}, rows...)) // a client that has gone away
}

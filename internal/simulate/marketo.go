package simulate

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	marketoMaxBytes = 10<<20 - 1 // "less than 10 MB"
	marketoMaxQueue = 10         // imports that are not over
	marketoMaxCalls = 100        // in marketoWindow
	marketoWindow   = 20 * time.Second
)

// MarketoTokenLife is how long an access token of [NewMarketo] is good.
const MarketoTokenLife = time.Hour

// marketoFields are the fields that the instance has.
var marketoFields = []string{"email", "firstName", "lastName", "company", "phone", "externalId", "leadScore"}

// marketo simulates the bulk import of leads, and the token server of the instance.
type marketo struct {
	*vendor
	timing  timing
	tokens  *tokens
	jobs    *history[*marketoImport]
	pending []*marketoImport
	count   int
	calls   int // in the window that began at since
	since   time.Time
}

// marketoImport is one import; what becomes of its rows is settled when it is made.
type marketoImport struct {
	job
	id, rows         int
	header           []string
	message          string // why it failed
	failures, warned [][]string
}

// NewMarketo makes a simulation of Marketo's GET /identity/oauth/token (o.Secret is the client's)
// and of POST /bulk/v1/leads.json with its batches. Errors have status 200. A row
// without its lookup field or with an email that is none is refused; a leadScore that is no number
// is a warning; a column that is no field fails the import.
func NewMarketo(o VendorOptions) *Backend {
	v := newVendor("marketo", o, nil, marketoRefuse)
	m := &marketo{
		vendor: v, timing: newTiming(v.PollsUntilDone, v.JobDuration, v.Now), tokens: newTokens(MarketoTokenLife, v.TokenCalls, v.Now),
		jobs: newHistory[*marketoImport](),
	}
	v.credential = func(*http.Request) string { return cmp.Or(v.Secret, "any") } // call looks at the token
	v.mux.HandleFunc("GET /identity/oauth/token", m.token)
	for pattern, answer := range map[string]func(http.ResponseWriter, *http.Request, []byte){
		"POST /bulk/v1/leads.json":                    m.create,
		"GET /bulk/v1/leads/batch/{file}":             m.withImport(m.show),
		"GET /bulk/v1/leads/batch/{id}/failures.json": m.withImport(m.list("Import Failure Reason", func(i *marketoImport) [][]string { return i.failures })),
		"GET /bulk/v1/leads/batch/{id}/warnings.json": m.withImport(m.list("Import Warning Reason", func(i *marketoImport) [][]string { return i.warned })),
	} {
		v.on(pattern, marketoMaxBytes+1<<20, m.call(answer))
	}
	return v.backend()
}

// marketoRefuse answers with the code that a message begins with. Only a file that is too large has
// a status of its own.
func marketoRefuse(w http.ResponseWriter, status int, message string) {
	if status == http.StatusRequestEntityTooLarge {
		http.Error(w, "Request Entity Too Large", status)
		return
	}
	code, text, _ := strings.Cut(message, " ")
	writeJSON(w, http.StatusOK, map[string]any{
		"requestId": "e42b#14272d07d78", "success": false, "errors": []map[string]string{{"code": code, "message": text}},
	})
}

func (m *marketo) succeed(w http.ResponseWriter, result map[string]any) {
	writeJSON(w, http.StatusOK, map[string]any{"requestId": "d01f#15d672f8560", "success": true, "result": []any{result}})
}

func (m *marketo) token(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("grant_type") != "client_credentials" || q.Get("client_id") == "" || !matches(q.Get("client_secret"), m.Secret) {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "unauthorized", "error_description": "Bad client credentials"})
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": m.tokens.give(), "token_type": "bearer", "expires_in": int(MarketoTokenLife / time.Second), "scope": "api@example.com",
	})
}

// call looks at the token and counts the calls of the window.
func (m *marketo) call(next func(http.ResponseWriter, *http.Request, []byte)) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, r *http.Request, body []byte) {
		if now := m.Now(); now.Sub(m.since) >= marketoWindow {
			m.since, m.calls = now, 0
		}
		m.calls++
		known, good := m.tokens.show(bearer(r))
		switch {
		case bearer(r) == "":
			m.refuse(w, http.StatusOK, "600 Access token not specified")
		case !known:
			m.refuse(w, http.StatusOK, "601 Access token invalid")
		case !good:
			m.refuse(w, http.StatusOK, "602 Access token expired")
		case m.calls > marketoMaxCalls:
			m.refuse(w, http.StatusOK, "606 Max rate limit '100' exceeded with in '20' secs")
		default:
			next(w, r, body)
		}
	}
}

func (m *marketo) create(w http.ResponseWriter, r *http.Request, body []byte) {
	m.pending = slices.DeleteFunc(m.pending, func(i *marketoImport) bool { return m.timing.phase(&i.job) == finished })
	r.Body = io.NopCloser(bytes.NewReader(body))
	file, header, err := r.FormFile("file")
	lookup := r.FormValue("lookupField")
	switch {
	case err != nil:
		m.refuse(w, http.StatusOK, "1003 the part 'file' is missing")
		return
	case header.Size > marketoMaxBytes:
		m.refuse(w, http.StatusRequestEntityTooLarge, "")
		return
	case r.FormValue("format") != "csv":
		m.refuse(w, http.StatusOK, "1003 only the format csv is simulated")
		return
	case len(m.pending) >= marketoMaxQueue:
		m.refuse(w, http.StatusOK, "1016 Too many imports")
		return
	}
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil || len(rows) < 2 {
		m.refuse(w, http.StatusOK, "1003 the file is empty or no CSV")
		return
	}
	if lookup == "" {
		lookup = "email"
	}
	m.count++
	i := &marketoImport{job: m.timing.start(), id: 1000 + m.count, rows: len(rows) - 1, header: rows[0]}
	i.judge(lookup, rows[1:])
	m.jobs.add(strconv.Itoa(i.id), i)
	m.pending = append(m.pending, i)
	m.succeed(w, map[string]any{"batchId": i.id, "importId": strconv.Itoa(i.id), "status": "Queued"})
}

// judge settles what becomes of each row.
func (i *marketoImport) judge(lookup string, rows [][]string) {
	at := map[string]int{}
	for column, name := range i.header {
		if !slices.Contains(marketoFields, name) {
			i.message = "Invalid column header: " + name
			return
		}
		at[name] = column
	}
	if _, ok := at[lookup]; !ok {
		i.message = "The lookup field " + lookup + " is no column"
		return
	}
	cell := func(row []string, name string) string {
		if column, ok := at[name]; ok {
			return strings.TrimSpace(row[column])
		}
		return ""
	}
	for _, row := range rows {
		score := cell(row, "leadScore")
		_, err := strconv.Atoi(score)
		switch {
		case cell(row, lookup) == "":
			i.failures = append(i.failures, slices.Concat(row, []string{"Value for lookup field '" + lookup + "' not found"}))
		case cell(row, "email") != "" && !validEmail(cell(row, "email")):
			i.failures = append(i.failures, slices.Concat(row, []string{"Invalid email address: " + cell(row, "email")}))
		case score != "" && err != nil:
			i.warned = append(i.warned, slices.Concat(row, []string{"Value is not valid for the field 'leadScore'"}))
		}
	}
}

// withImport finds the import of the path.
func (m *marketo) withImport(next func(http.ResponseWriter, *marketoImport)) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, r *http.Request, _ []byte) {
		id := r.PathValue("id")
		if id == "" {
			id, _ = strings.CutSuffix(r.PathValue("file"), ".json")
		}
		i, ok := m.jobs.get(id)
		if !ok {
			m.refuse(w, http.StatusOK, "1013 Import '"+id+"' not found")
			return
		}
		next(w, i)
	}
}

func (m *marketo) show(w http.ResponseWriter, i *marketoImport) {
	out := map[string]any{"batchId": i.id, "importId": strconv.Itoa(i.id)}
	switch m.timing.poll(&i.job) {
	case queued:
		out["status"] = "Queued"
	case running:
		out["status"] = "Importing"
	case finished:
		out["status"], out["message"] = "Complete", fmt.Sprintf("Import completed: %d records imported (%d members), %d warning.", i.rows-len(i.failures), i.rows-len(i.failures), len(i.warned))
		out["numOfLeadsProcessed"], out["numOfRowsFailed"], out["numOfRowsWithWarning"] = i.rows-len(i.failures), len(i.failures), len(i.warned)
		if i.message != "" {
			out = map[string]any{"batchId": i.id, "status": "Failed", "message": i.message}
		}
	}
	m.succeed(w, out)
}

func (m *marketo) list(column string, of func(*marketoImport) [][]string) func(http.ResponseWriter, *marketoImport) {
	return func(w http.ResponseWriter, i *marketoImport) {
		writeCSV(w, slices.Concat(i.header, []string{column}), of(i))
	}
}

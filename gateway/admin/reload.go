package admin

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"
)

// Reload is one attempt to read all files again.
type Reload struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"` // signal, file or api
	OK     bool      `json:"ok"`
	TookMS float64   `json:"took_ms"`
	// Detail and Problems say why it was refused: nothing was changed then.
	Detail   string        `json:"detail,omitempty"`
	Problems []FileProblem `json:"problems,omitempty"`
	Changed  *Changed      `json:"changed,omitempty"` // with OK
}

// FileProblem is one thing wrong with a file.
type FileProblem struct {
	Detail string `json:"detail"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"` // counted from 1, like the column
	Column int    `json:"column,omitempty"`
	Path   string `json:"path,omitempty"` // of the key: routes[0].targets.crm
	Hint   string `json:"hint,omitempty"`
}

// Changed is what a reload has put into force. What takes an empty place in it did not change.
type Changed struct {
	Routes         Names    `json:"routes"`
	Targets        Names    `json:"targets"`
	Authenticators Names    `json:"authenticators"`
	Keys           []string `json:"keys,omitempty"` // of the operator's file
	AdminToken     bool     `json:"admin_token,omitempty"`
}

// Any reports whether anything has changed.
func (c *Changed) Any() bool {
	return !reflect.DeepEqual(*c, Changed{})
}

// Names are the names of what came, went and is otherwise.
type Names struct {
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Changed []string `json:"changed,omitempty"`
}

// fewNames is how many names of a kind a person is told.
const fewNames = 20

// Few gives names for a person: when there are many, the first ones and how many more there are.
func Few(names []string) []string {
	if len(names) <= fewNames+1 { // one more takes no more room than to say so
		return names
	}
	return append(slices.Clone(names[:fewNames]), fmt.Sprintf("and %d more", len(names)-fewNames))
}

// ReloadState is how the files in force stand, in this process.
type ReloadState struct {
	Last *Reload `json:"last,omitempty"` // nil before the first
	// Hash is the same in all processes for which the same files, and keys that need a restart,
	// are in force.
	Hash  string    `json:"hash"`
	Since time.Time `json:"since"` // when something in force was changed last
	// NeedsRestart are keys of the operator's file that say something else than what is in force.
	NeedsRestart []string `json:"needs_restart,omitempty"`
	Routes       int      `json:"routes"`
	Targets      int      `json:"targets"`
	// Draining are targets that have left the files and still have deliveries under way.
	Draining []Drained `json:"draining,omitempty"`
	// Flows are targets whose steps have changed while deliveries are under way that go on by
	// the former ones.
	Flows []FormerFlow `json:"flows,omitempty"`
	// Unknown says why Draining and Flows could not be looked up.
	Unknown string `json:"unknown,omitempty"`
	// Watch is how changes of files are noticed: events, poll or off.
	Watch string `json:"watch"`
}

// Drained is a target that has left the files.
type Drained struct {
	Target     string `json:"target"`
	Deliveries int    `json:"deliveries"`
}

// FormerFlow is deliveries of a target that go on by steps which the files no longer have.
type FormerFlow struct {
	Target     string   `json:"target"`
	Plan       string   `json:"plan"` // the hash they were accepted under
	Deliveries int      `json:"deliveries"`
	Steps      []string `json:"steps"`     // by which they go on
	StepsNow   []string `json:"steps_now"` // by which new ones go
}

func (s *Server) reloadEndpoints() []endpoint {
	return []endpoint{
		{http.MethodGet, "/reload", func(c *call) { writeJSON(c.w, http.StatusOK, s.o.Reloads(c.r.Context())) }},
		{http.MethodPost, "/reload", func(c *call) { s.reload(c.w, c.r) }},
	}
}

// reload answers POST /reload.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if !isJSON(r) {
		writeProblem(w, problem(http.StatusUnsupportedMediaType, "unsupported-media-type", "Unsupported media type", "Send Content-Type: application/json."))
		return
	}
	if err := readBody(r, &struct{}{}); err != nil {
		badRequest(w, err)
		return
	}
	did := s.o.Reload(r.Context())
	if !did.OK {
		p := problem(http.StatusUnprocessableEntity, "reload-refused", "Reload refused", "What was in force stays: "+did.Detail)
		p.Errors = did.Problems
		writeProblem(w, p)
		return
	}
	state := s.o.Reloads(r.Context())
	state.Last = &did // another may have followed
	writeJSON(w, http.StatusOK, state)
}

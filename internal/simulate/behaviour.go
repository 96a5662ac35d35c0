package simulate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// trickleEvery is the pause between two bytes of a trickled body unless told otherwise.
const trickleEvery = 5 * time.Millisecond

// When says at what point a request hangs or is dropped.
type When string

// The points at which a request can hang or be dropped.
const (
	Never  When = ""
	Before When = "before" // the backend never saw it
	After  When = "after"  // the backend has done the work, the answer is lost
)

// Behaviour is one way to misbehave. Its parts combine: delay first, then hang or drop, then the
// status, then what is done to the body.
type Behaviour struct {
	// Status is a sequence, one per request of an Idempotency-Key (of all requests without one); the
	// last repeats. 200 means as usual; another 2xx does the work and answers with that status;
	// anything else is answered in the backend's place.
	Status []int
	// RetryAfter in seconds is added to answers given in the backend's place; -1 means none.
	RetryAfter int
	Delay      time.Duration // before the request is looked at
	Hang       When          // until the client goes away or the backend is closed
	Drop       When          // close the connection without an answer
	Trickle    time.Duration // pause between bytes of the body; 0 sends it at once
	Huge       int64         // stream a JSON body of this many bytes instead of the real one
	Malformed  bool          // cut the JSON body in half
	Redirect   string        // answer 307 (or a 3xx of Status) to this URL
	Body       *string       // answer with this body instead of the real one

	text string // as written: names the status sequence
}

// setters is the language of [ParseBehaviour]: what each word does with its value.
var setters = map[string]func(b *Behaviour, value string) error{
	"status": func(b *Behaviour, v string) error {
		for _, s := range strings.Split(v, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(s))
			if err != nil || n < 200 || n > 599 {
				return fmt.Errorf("%q is no status from 200 to 599", s)
			}
			b.Status = append(b.Status, n)
		}
		return nil
	},
	"retry_after": func(b *Behaviour, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no number of seconds", v)
		}
		b.RetryAfter = n
		return nil
	},
	"delay":   func(b *Behaviour, v string) error { return setDuration(&b.Delay, v, 0) },
	"trickle": func(b *Behaviour, v string) error { return setDuration(&b.Trickle, v, trickleEvery) },
	"hang":    func(b *Behaviour, v string) error { return setWhen(&b.Hang, v) },
	"drop":    func(b *Behaviour, v string) error { return setWhen(&b.Drop, v) },
	"malformed": func(b *Behaviour, v string) error {
		b.Malformed = true
		if v != "" {
			return fmt.Errorf("takes no value, got %q", v)
		}
		return nil
	},
	"huge": func(b *Behaviour, v string) (err error) {
		b.Huge, err = parseSize(v)
		return err
	},
	"redirect": func(b *Behaviour, v string) error {
		if _, err := url.Parse(v); err != nil || v == "" {
			return fmt.Errorf("%q is no URL", v)
		}
		b.Redirect = v
		return nil
	},
	"body": func(b *Behaviour, v string) error {
		b.Body = &v
		return nil
	},
}

// ParseBehaviour reads the compact form, words separated by blanks or semicolons,
//
//	status=503,503,200 retry_after=2 delay=250ms
//	hang | hang=after | drop | drop=after | trickle | trickle=20ms
//	huge=50MB | malformed | redirect=https://elsewhere/ | body={"job_id":""}
//
// or the same as a JSON object: {"status":[503,503,200],"hang":true,"body":"any text"}. In a query, a
// semicolon must be percent-encoded; a plus sign between words is easier.
func ParseBehaviour(text string) (*Behaviour, error) {
	text = strings.TrimSpace(text)
	words, err := splitBehaviour(text)
	if err != nil {
		return nil, fmt.Errorf("read behaviour: %w", err)
	}
	b := &Behaviour{RetryAfter: -1, text: text}
	for _, w := range words {
		set, ok := setters[w[0]]
		if !ok {
			return nil, fmt.Errorf("read behaviour: unknown word %q; known: %s", w[0], knownWords())
		}
		if err := set(b, w[1]); err != nil {
			return nil, fmt.Errorf("read behaviour: %s: %w", w[0], err)
		}
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("read behaviour: empty; known words: %s", knownWords())
	}
	return b, nil
}

func knownWords() string { return strings.Join(slices.Sorted(maps.Keys(setters)), ", ") }

// splitBehaviour gives the word=value pairs of either form.
func splitBehaviour(text string) ([][2]string, error) {
	if strings.HasPrefix(text, "{") {
		return splitJSON(text)
	}
	var words [][2]string
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ';' || r == '\t' }) {
		name, value, _ := strings.Cut(w, "=")
		words = append(words, [2]string{name, value})
	}
	return words, nil
}

// splitJSON turns an object's values into the compact form's, so that one set of rules reads both.
func splitJSON(text string) ([][2]string, error) {
	var object map[string]any
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil {
		return nil, err
	}
	var words [][2]string
	for name, v := range object {
		switch v := v.(type) {
		case bool:
			if v {
				words = append(words, [2]string{name, ""})
			}
		case []any:
			items := make([]string, len(v))
			for i, item := range v {
				items[i] = fmt.Sprint(item)
			}
			words = append(words, [2]string{name, strings.Join(items, ",")})
		case string:
			words = append(words, [2]string{name, v})
		case json.Number:
			words = append(words, [2]string{name, v.String()})
		default:
			return nil, fmt.Errorf("%s: unexpected value %v", name, v)
		}
	}
	return words, nil
}

func setDuration(to *time.Duration, v string, unset time.Duration) error {
	if v == "" && unset > 0 {
		*to = unset
		return nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is no duration such as 250ms", v)
	}
	*to = d
	return nil
}

func setWhen(to *When, v string) error {
	switch When(v) {
	case "", Before:
		*to = Before
	case After:
		*to = After
	default:
		return fmt.Errorf("%q is neither before nor after", v)
	}
	return nil
}

// parseSize reads 512, 10KB, 50MB or 1GB, in powers of 1024.
func parseSize(v string) (int64, error) {
	number, unit := strings.ToUpper(v), int64(1)
	for suffix, factor := range map[string]int64{"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30} {
		if cut, ok := strings.CutSuffix(number, suffix); ok {
			number, unit = cut, factor
		}
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is no size such as 50MB", v)
	}
	return n * unit, nil
}

// fromRequest reads a request's own behaviour; nil when it carries none.
func fromRequest(r *http.Request) (*Behaviour, error) {
	text := r.Header.Get("X-Simulate")
	if text == "" && strings.Contains(r.URL.RawQuery, "__simulate") {
		text = r.URL.Query().Get("__simulate")
	}
	if text == "" {
		return nil, nil
	}
	return ParseBehaviour(text)
}

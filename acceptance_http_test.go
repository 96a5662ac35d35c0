package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rogpeppe/go-internal/testscript"
)

// client follows no redirect: a story says what is answered.
var client = &http.Client{
	Timeout:       patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// answer is what a request was answered with, read to its end.
type answer struct {
	code   int
	status string // such as 202 Accepted
	header http.Header
	body   string
}

// call sends one request.
func call(method, url string, body []byte, header http.Header) (answer, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	maps.Copy(req.Header, header)
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Status, resp.Header, string(text)}, err
}

// option takes an option with its value off the front of the arguments.
func option(args []string, name string) (value string, rest []string) {
	if len(args) >= 2 && args[0] == name {
		return args[1], args[2:]
	}
	return "", args
}

// fits compares with a status; any 2xx is good when none is wanted in particular.
func fits(got int, want string) bool {
	return strconv.Itoa(got) == want || want == "" && got/100 == 2
}

func readyCommand(ts *testscript.TestScript, neg bool, args []string) {
	want, args := option(args, "-s")
	usage(ts, !neg && len(args) == 1, "ready [-s STATUS] URL")
	last := "nothing"
	if !within(patience, func() bool {
		a, err := call(http.MethodGet, args[0], nil, nil)
		if err != nil {
			last = err.Error()
			return false
		}
		last = a.status + "\n" + a.body
		return fits(a.code, want)
	}) {
		ts.Fatalf("%s is not ready: %s", args[0], last)
	}
}

func httpCommand(ts *testscript.TestScript, neg bool, args []string) {
	want, args := option(args, "-s")
	token, args := option(args, "-t")
	usage(ts, !neg && len(args) >= 2, "http [-s STATUS] [-t TOKEN] METHOD URL ['Name: value'…] [@file]")
	header, body := http.Header{}, []byte(nil)
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	for _, arg := range args[2:] {
		if name, isFile := strings.CutPrefix(arg, "@"); isFile {
			data, err := os.ReadFile(ts.MkAbs(name))
			ts.Check(err)
			body = data
			if header.Get("Content-Type") == "" {
				header.Set("Content-Type", "application/json")
			}
			continue
		}
		name, value, found := strings.Cut(arg, ":")
		usage(ts, found, "'Name: value'")
		header.Set(name, strings.TrimSpace(value))
	}
	a, err := call(args[0], args[1], body, header)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", a.status)
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		fmt.Fprintf(ts.Stdout(), "%s: %s\n", name, strings.Join(a.header[name], ", "))
	}
	fmt.Fprintf(ts.Stdout(), "\n%s\n", a.body)
	if !fits(a.code, want) {
		ts.Fatalf("%s %s: %s, want %s", args[0], args[1], a.status, cmp.Or(want, "2xx"))
	}
}

func becomesCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "becomes URL REGEXP")
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	last := ""
	if !within(patience, func() bool {
		a, err := call(http.MethodGet, args[0], nil, nil)
		last = a.body
		return err == nil && pattern.MatchString(a.body)
	}) {
		ts.Fatalf("%s does not become %q:\n%s", args[0], args[1], last)
	}
}

func captureCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "capture NAME REGEXP")
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%q has no group or does not match what was printed", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func trackCommand(ts *testscript.TestScript, neg bool, args []string) {
	token, args := option(args, "-t")
	usage(ts, !neg && len(args) == 2, "track -t TOKEN ID STATUS")
	doc, err := track(ts.Getenv("LISTEN_URL"), token, args[0])
	ts.Check(err)
	var pretty bytes.Buffer
	ts.Check(json.Indent(&pretty, []byte(doc.text), "", "  "))
	fmt.Fprintln(ts.Stdout(), pretty.String())
	if doc.Status != args[1] {
		ts.Fatalf("%s ended %s, want %s", args[0], doc.Status, args[1])
	}
}

// trackingDoc is the part of the tracking answer that the tests look at.
type trackingDoc struct {
	Status  string
	Targets map[string]struct {
		State    string
		Attempts int
		Polls    int
		JobID    string `json:"job_id"`
	}
	text string
}

// track waits for the end of a dispatch.
func track(base, token, id string) (doc trackingDoc, err error) {
	header := http.Header{"Authorization": {"Bearer " + token}, "Prefer": {"wait=10"}}
	deadline := time.Now().Add(2 * patience)
	for doc.Status == "" || doc.Status == "in_progress" {
		if time.Now().After(deadline) {
			return doc, fmt.Errorf("%s has not ended: %s", id, doc.text)
		}
		a, err := call(http.MethodGet, base+"/tracking/"+id, nil, header)
		if err != nil {
			return doc, err
		}
		if a.code != http.StatusOK {
			return doc, fmt.Errorf("tracking %s: %s\n%s", id, a.status, a.body)
		}
		doc = trackingDoc{text: a.body}
		if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
			return doc, fmt.Errorf("tracking %s: %w", id, err)
		}
	}
	return doc, nil
}

func jwtCommand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 2, "jwt NAME ALGORITHM [claim=value… claim=]")
	claims := jwt.MapClaims{}
	for _, arg := range args[2:] {
		name, value, found := strings.Cut(arg, "=")
		usage(ts, found, "claim=value, or claim= for none")
		claims[name] = value
	}
	token, err := sign(args[1], ts.Getenv("MOBILE_JWT_KEY"), claims)
	ts.Check(err)
	ts.Setenv(args[0], token)
}

// sign makes a token that the stories' gateways accept, but for what change says: an
// empty claim is left out, and exp may be a duration from now.
func sign(algorithm, key string, change jwt.MapClaims) (string, error) {
	claims := jwt.MapClaims{
		"iss": "https://id.example.com", "aud": "headgate", "sub": "alice", "org": "acme",
		"scope": "orders:write", "exp": "1h",
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == "" })
	if text, ok := claims["exp"].(string); ok {
		d, err := time.ParseDuration(text)
		if err != nil {
			return "", err
		}
		claims["exp"] = time.Now().Add(d).Unix()
	}
	var secret any = []byte(key)
	if algorithm == "none" {
		secret = jwt.UnsafeAllowNoneSignatureType
	}
	return jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), claims).SignedString(secret)
}

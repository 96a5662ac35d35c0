package jq

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/itchyny/gojq"
)

// rule says what becomes of a call to one of jq's functions. The list of functions is
// closed: one that is not known to be pure and bounded is refused at load.
type rule struct {
	before string // a guard that sees the input first
	become string // the name it is called by instead
	pad    bool   // with null for the flags that were left out
}

// functions are the functions that expressions may call, by name/arity.
var functions = func() map[string]rule {
	out := map[string]rule{}
	add := func(r rule, names string) {
		for _, name := range strings.Fields(names) {
			if _, dup := out[name]; dup {
				panic("jq: " + name + " is listed twice")
			}
			out[name] = r
		}
	}
	// Bounded by the count of instructions, or linear in what is in memory already.
	add(rule{}, `empty/0 error/0 error/1 not/0 length/0 utf8bytelength/0 keys/0 has/1 in/1 map/1 select/1
		recurse/0 recurse/1 recurse/2 to_entries/0 from_entries/0 with_entries/1 while/2 until/2 repeat/1
		range/1 range/2 range/3 first/0 first/1 last/0 last/1 nth/2 isempty/1 all/0 all/1 all/2 any/0 any/1 any/2
		limit/2 skip/2 arrays/0 objects/0 iterables/0 booleans/0 numbers/0 strings/0 nulls/0 values/0 scalars/0
		finites/0 normals/0 type/0 infinite/0 nan/0 toboolean/0 startswith/1 endswith/1 ltrimstr/1 rtrimstr/1
		trimstr/1 ltrim/0 rtrim/0 trim/0 path/1 paths/0 paths/1 pick/1 getpath/1 setpath/2 combinations/0
		combinations/1 gmtime/0 mktime/0 strftime/1 strptime/1 todate/0 fromdate/0 todateiso8601/0 fromdateiso8601/0`)
	add(rule{before: "number"}, `tonumber/0 abs/0 floor/0 ceil/0 round/0 trunc/0 rint/0 nearbyint/0 sqrt/0 cbrt/0 fabs/0
		exp/0 exp2/0 exp10/0 log/0 log2/0 log10/0 sin/0 cos/0 tan/0 asin/0 acos/0 atan/0 modf/0 frexp/0
		isinfinite/0 isfinite/0 isnan/0 isnormal/0 pow/2 atan2/2 fmin/2 fmax/2 fmod/2`)
	// These go through everything that is in their input.
	add(rule{before: "deep"}, `tojson/0 tostring/0 fromjson/0 format/1 explode/0 implode/0 split/1 ascii_downcase/0
		ascii_upcase/0 flatten/0 flatten/1 sort/0 unique/0 min/0 max/0 bsearch/1`)
	add(rule{before: "flat"}, "reverse/0")
	add(rule{before: "parts"}, "add/0")
	add(rule{before: "grid"}, "transpose/0")
	add(rule{before: "own"}, "del/1 delpaths/1 map_values/1 walk/1")
	for _, name := range strings.Fields(`nth/1 add/1 join/1 sort_by/1 group_by/1 unique_by/1 min_by/1 max_by/1
		contains/1 inside/1 index/1 rindex/1 indices/1 INDEX/1 INDEX/2 IN/1 IN/2
		match/2 test/2 capture/2 scan/2 split/2 splits/2 sub/3 gsub/3`) {
		add(rule{become: prefix + name[:strings.IndexByte(name, '/')]}, name)
	}
	for _, name := range []string{"match/1", "test/1", "capture/1", "scan/1", "splits/1", "sub/2", "gsub/2"} {
		add(rule{become: prefix + name[:strings.IndexByte(name, '/')], pad: true}, name)
	}
	return out
}()

// formats are the words after @, as in @uri.
var formats = []string{"text", "json", "html", "uri", "urid", "csv", "tsv", "sh", "base64", "base64d"}

// refused are functions of jq that an expression may not use, with the remedy.
var refused = map[string]string{
	"now":               "an expression gives the same answer each time: take the time from the request, or let the backend set it",
	"localtime":         "use gmtime: an expression must not depend on where it runs",
	"strflocaltime":     "use strftime, which is in UTC",
	"env":               "write ${NAME} outside of ${{ … }}: it is read at load",
	"$ENV":              "write ${NAME} outside of ${{ … }}: it is read at load",
	"input":             "there is one input: use . and what is below it",
	"inputs":            "there is one input: use . and what is below it",
	"input_filename":    "there is one input: use . and what is below it",
	"debug":             "use `headgate explain` to see what an expression gives",
	"stderr":            "use `headgate explain` to see what an expression gives",
	"halt":              `use error("…") to refuse the request, or empty to leave the key out`,
	"halt_error":        `use error("…") to refuse the request, or empty to leave the key out`,
	"builtins":          "leave it out",
	"modulemeta":        "leave it out",
	"get_search_list":   "leave it out",
	"tostream":          "use paths and getpath",
	"fromstream":        "use paths and getpath",
	"truncate_stream":   "use paths and getpath",
	"keys_unsorted":     "use keys",
	"JOIN":              "use INDEX and map",
	"ascii":             "use [.] | implode",
	"input_line_number": "leave it out",
}

// library are the functions that take the place of jq's where these cannot be guarded
// from outside. They are prefixed, so no expression can define or call one itself.
// They are in the order of definition, so that each stands behind those it calls.
var library = sync.OnceValue(func() []*gojq.FuncDef {
	const source = `
		def _hg_nth($n): .[$n | _hg_place];
		def _hg_add(f): [f] | _hg_parts | add;
		def _hg_join($sep): _hg_joinable($sep) | join($sep);
		def _hg_sort_by(f): _sort_by(map([f]) | _hg_deep);
		def _hg_group_by(f): _group_by(map([f]) | _hg_deep);
		def _hg_unique_by(f): _unique_by(map([f]) | _hg_deep);
		def _hg_min_by(f): _min_by(map([f]) | _hg_deep);
		def _hg_max_by(f): _max_by(map([f]) | _hg_deep);
		def _hg_contains($x): _hg_searchable($x) | contains($x);
		def _hg_inside($x): _hg_searchable($x) | inside($x);
		def _hg_index($x): _hg_searchable($x) | index($x);
		def _hg_rindex($x): _hg_searchable($x) | rindex($x);
		def _hg_indices($x): _hg_searchable($x) | indices($x);
		def _hg_INDEX(rows; key): [rows | {key: (key | _hg_deep | tostring), value: .}] | from_entries;
		def _hg_INDEX(key): _hg_INDEX(.[]; key);
		def _hg_IN(all): . as $x | any(all; _hg_eq(.; $x));
		def _hg_IN(some; all): any(_hg_eq(some; all); .);
		def _hg_match($re; $flags): _hg_matches($re; $flags; false)[];
		def _hg_capture($re; $flags): _hg_match($re; $flags)
			| [.captures[] | select(.name != null) | {key: .name, value: .string}] | from_entries;
		def _hg_scan($re; $flags): _hg_matches($re; $flags; true)[]
			| if .captures == [] then .string else [.captures[].string] end;
		def _hg_split($re; $flags): _hg_cut($re; $flags);
		def _hg_splits($re; $flags): _hg_cut($re; $flags)[];
		def _hg_sub($re; by; $flags): [_hg_pieces($re; $flags)[] | if type == "string" then . else
			[by] | if length == 1 then .[0] else error("a replacement must give exactly one value") end end] | _hg_parts | add;
		def _hg_gsub($re; by; $flags): _hg_sub($re; by; "g" + ($flags // ""));
		.`
	query, err := gojq.Parse(source)
	if err != nil {
		panic(fmt.Sprintf("jq: the library does not parse: %v", err))
	}
	return query.FuncDefs
})

func inLibrary(name string) bool {
	return slices.ContainsFunc(library(), func(def *gojq.FuncDef) bool { return signature(def.Name, len(def.Args)) == name })
}

// uses are the functions of the library that others call.
var uses = map[string]string{
	prefix + "INDEX/1":   prefix + "INDEX/2",
	prefix + "capture/2": prefix + "match/2",
	prefix + "gsub/3":    prefix + "sub/3",
}

func signature(name string, arity int) string { return fmt.Sprintf("%s/%d", name, arity) }

// known lists the names for the hint beside an unknown one.
var known = sync.OnceValue(func() []string {
	var out []string
	for s := range functions {
		out = append(out, s[:strings.IndexByte(s, '/')])
	}
	slices.Sort(out)
	return slices.Compact(out)
})

// arities lists with how many arguments a function can be called.
func arities(name string) []int {
	var out []int
	for n := range 4 {
		if _, ok := functions[signature(name, n)]; ok {
			out = append(out, n)
		}
	}
	return out
}

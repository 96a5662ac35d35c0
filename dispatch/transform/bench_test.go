package transform

import "testing"

func benchmark(b *testing.B, yaml string) {
	v := compiled(b, node(b, yaml))
	scope := testScope(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.JSON(scope); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainPathEval(b *testing.B) {
	v := compiled(b, quotedNode("${{ .body.address.city }}"))
	scope := testScope(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Eval(scope); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTenFields(b *testing.B) {
	benchmark(b, `v: {a: "${{ .body.email }}", b: "${{ .body.first }}", c: "${{ .body.last }}", d: "${{ .body.amount }}", e: "${{ .body.price }}",
  f: "${{ .body.consent }}", g: "${{ .body.address.city }}", h: "${{ .body.tags[0] }}", i: "${{ .params.id }}", j: literal}`)
}

func BenchmarkInterpolation(b *testing.B) {
	benchmark(b, `v: "${{ .body.first }} ${{ .body.last }} of ${{ .body.address.city }}"`)
}

func BenchmarkJQ(b *testing.B) { benchmark(b, `v: ${{ .body.email | ascii_downcase }}`) }

func BenchmarkJQConcatenation(b *testing.B) {
	benchmark(b, `v: '${{ .body.first + " " + .body.last }}'`)
}

func BenchmarkURL(b *testing.B) {
	x := text(b, "/contacts/${{ .params.id }}/x?y=${{ .body.first }}")
	scope := testScope(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.URL(scope); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		compiled(b, quotedNode(`${{ .body.items | map({id, n: (.n + 1)}) | sort_by(.n) }}`))
	}
}

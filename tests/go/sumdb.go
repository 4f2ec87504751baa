// Checks checkpoints, proofs and tiles with Go's golang.org/x/mod/sumdb, which knows nothing of Nephron.
//
// Usage: sumdb VKEY. Reads one case a line from standard input, words separated by tabs, and answers each with a line:
// `accepted`, or `rejected` and why.
//
//	checkpoint FILE       a C2SP tlog-checkpoint, signed by VKEY
//	entry FILE            a C2SP tlog-proof whose extra data are the entry
//	growth OLD FILE       a checkpoint and the body of C2SP tlog-witness that goes on from it
//	tiles FOLDER FILE     the root of a checkpoint and three of its leaves, from C2SP tlog-tiles
package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	verifier, err := note.NewVerifier(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	keys := note.VerifierList(verifier)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := check(strings.Split(lines.Text(), "\t"), keys); err != nil {
			fmt.Println("rejected", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("accepted")
		}
	}
}

func check(words []string, keys note.Verifiers) error {
	texts := make([]string, len(words))
	for i, word := range words[1:] {
		if words[0] == "tiles" && i == 0 {
			continue
		}
		text, err := os.ReadFile(word)
		if err != nil {
			return err
		}
		texts[i+1] = string(text)
	}
	switch words[0] {
	case "checkpoint":
		_, err := open(texts[1], keys)
		return err
	case "entry":
		return entry(texts[1], keys)
	case "growth":
		return growth(texts[1], texts[2], keys)
	case "tiles":
		return tiles(words[1], texts[2], keys)
	}
	return fmt.Errorf("unknown case %q", words[0])
}

// open gives the tree of a checkpoint whose signature holds.
func open(text string, keys note.Verifiers) (tlog.Tree, error) {
	opened, err := note.Open([]byte(text), keys)
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != opened.Sigs[0].Name {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s", opened.Sigs[0].Name)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// split gives the first lines, the hashes after them, and the tree of the checkpoint at the end.
func split(text string, first int, keys note.Verifiers) (head []string, hashes []tlog.Hash, tree tlog.Tree, err error) {
	before, checkpoint, found := strings.Cut(text, "\n\n")
	lines := strings.Split(before, "\n")
	if !found || len(lines) < first {
		return nil, nil, tree, fmt.Errorf("not a proof")
	}
	for _, line := range lines[first:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, nil, tree, err
		}
		hashes = append(hashes, hash)
	}
	tree, err = open(checkpoint, keys)
	return lines[:first], hashes, tree, err
}

func entry(text string, keys note.Verifiers) error {
	head, path, tree, err := split(text, 3, keys)
	if err != nil {
		return err
	}
	if head[0] != "c2sp.org/tlog-proof@v1" {
		return fmt.Errorf("not a tlog-proof")
	}
	leaf, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(head[1], "extra "))
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(head[2], "index "), 10, 64)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(leaf))
}

func growth(older, text string, keys note.Verifiers) error {
	old, err := open(older, keys)
	if err != nil {
		return err
	}
	head, path, tree, err := split(text, 1, keys)
	if err != nil {
		return err
	}
	if head[0] != fmt.Sprintf("old %d", old.N) {
		return fmt.Errorf("not a proof from %d", old.N)
	}
	return tlog.CheckTree(path, tree.N, tree.Hash, old.N, old.Hash)
}

// folder reads tiles. What tlog calls tile/8/L/N is tile/L/N in tlog-tiles.
type folder string

func (f folder) Height() int { return 8 }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		bytes, err := os.ReadFile(filepath.Join(string(f), path))
		if err != nil {
			return nil, err
		}
		all = append(all, bytes)
	}
	return all, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func tiles(path, checkpoint string, keys note.Verifiers) error {
	tree, err := open(checkpoint, keys)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, folder(path))
	for _, index := range []int64{0, tree.N / 2, tree.N - 1} {
		proof, err := tlog.ProveRecord(tree.N, index, reader)
		if err != nil {
			return err
		}
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return err
		}
		// The reader of x/mod 0.7.0 holds not every whole tile against its parent, so the proofs made of them are checked.
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf[0]); err != nil {
			return err
		}
	}
	root, err := tlog.TreeHash(tree.N, reader)
	if err == nil && root != tree.Hash {
		err = fmt.Errorf("the tiles have another root")
	}
	return err
}

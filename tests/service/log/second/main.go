// Reads a log that our code wrote, with an implementation that is not ours: golang.org/x/mod/sumdb, note and tlog.
// The folder is the first argument. Every check that fails ends the program with status 1 and says which it was.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A witness key, which this version of note does not know: type 4, a time before the signature.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return w.hash }
func (w witness) Verify(text, signature []byte) bool {
	if len(signature) != 72 {
		return false
	}
	seconds := binary.BigEndian.Uint64(signature[:8])
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", seconds, text)
	return ed25519.Verify(w.key, []byte(message), signature[8:])
}

type proofs struct {
	Index, Size, Old       int64
	Entry                  string
	Inclusion, Consistency []string
}

type files struct{ folder string }

func (files) Height() int                       { return 8 }
func (files) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (f files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(f.folder, path))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func require(what string, err error) {
	if err != nil {
		fmt.Println(what+":", err)
		os.Exit(1)
	}
}

func main() {
	folder := os.Args[1]
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(folder, name))
		require(name, err)
		return data
	}
	log, err := note.NewVerifier(string(read("log.key")))
	require("key of the log", err)
	parts := strings.SplitN(string(read("witness.key")), "+", 3)
	identifier, err := strconv.ParseUint(parts[1], 16, 32)
	require("identifier of the witness", err)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	require("key of the witness", err)
	if len(key) != 33 || key[0] != 4 {
		fmt.Println("the witness has no cosignature key")
		os.Exit(1)
	}
	cosigner := witness{parts[0], uint32(identifier), key[1:]}

	head := func(name string) tlog.Tree {
		opened, err := note.Open(read(name), note.VerifierList(log, cosigner))
		require(name, err)
		if len(opened.Sigs) != 2 || len(opened.UnverifiedSigs) != 0 {
			fmt.Println(name, "has", len(opened.Sigs), "verified signatures")
			os.Exit(1)
		}
		lines := strings.Split(opened.Text, "\n")
		size, err := strconv.ParseInt(lines[1], 10, 64)
		require("size in "+name, err)
		hash, err := tlog.ParseHash(lines[2])
		require("root in "+name, err)
		return tlog.Tree{N: size, Hash: hash}
	}
	older, newer := head("checkpoint.old"), head("checkpoint.new")

	var given proofs
	require("proofs", json.Unmarshal(read("proofs.json"), &given))
	hashes := func(texts []string) []tlog.Hash {
		var found []tlog.Hash
		for _, text := range texts {
			hash, err := tlog.ParseHash(text)
			require("hash", err)
			found = append(found, hash)
		}
		return found
	}
	entry, err := base64.StdEncoding.DecodeString(given.Entry)
	require("entry", err)
	leaf := tlog.RecordHash(entry)
	require("inclusion", tlog.CheckRecord(hashes(given.Inclusion), newer.N, newer.Hash, given.Index, leaf))
	require("consistency", tlog.CheckTree(hashes(given.Consistency), newer.N, newer.Hash, older.N, older.Hash))

	// The tiles alone give the root and the leaf.
	reader := tlog.TileHashReader(newer, files{folder})
	stored, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, given.Index)})
	require("tiles", err)
	if stored[0] != leaf {
		fmt.Println("the tiles have another leaf")
		os.Exit(1)
	}
	root, err := tlog.TreeHash(older.N, reader)
	require("older root", err)
	if root != older.Hash {
		fmt.Println("the tiles have another older root")
		os.Exit(1)
	}
	fmt.Println("checkpoints, proofs and tiles hold")
}

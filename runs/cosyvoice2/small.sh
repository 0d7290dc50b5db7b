#!/usr/bin/env bash
# A small chain on processors, without a download: a teacher voice reads strings of digits, and with
# TEXTS also English; a speech tokenizer, a language model, a flow and a vocoder are trained on them.
# Stages 0 to 6 are those of run.sh, in two processes where it trains the language model.
#
#     pip install -e '.[tokens,eval]' && bash runs/cosyvoice2/small.sh
#     TEXTS=ljspeech-text HOURS=4 bash runs/cosyvoice2/small.sh
#
#     TINY=1 RUN=tiny bash runs/cosyvoice2/small.sh # minutes: all stages but alignment; nothing is learned
#
# The language model is shown which phoneme is said when (ALIGN_STEPS=0: not).
# TEXTS is a folder with train.txt and val.txt, a sentence a line. Every stage continues where it was
# interrupted. $RUN/model speaks: sled speak --model $RUN/model "four two seven".
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
RUN=${RUN:-$here/out}
PYTHON=${PYTHON:-python}
if [ -n "${TINY:-}" ]; then
    TRAIN=${TRAIN:-60} VALID=${VALID:-8} TEST=${TEST:-3} HOURS=${HOURS:-0.05}
    TOKENIZER_STEPS=${TOKENIZER_STEPS:-20} EPOCHS=${EPOCHS:-3} NUM_UTTS=${NUM_UTTS:-30}
    ALIGN_STEPS=${ALIGN_STEPS:-0} # a network of so few steps does not hear when words are said
fi
TRAIN=${TRAIN:-14400} VALID=${VALID:-60} TEST=${TEST:-100} HOURS=${HOURS:-4} TEXTS=${TEXTS:-}
TOKENIZER_STEPS=${TOKENIZER_STEPS:-1500} TOKENIZER_BATCH_S=${TOKENIZER_BATCH_S:-40}
ALIGN_STEPS=${ALIGN_STEPS:-400} EPOCHS=${EPOCHS:-6} WHISPER=${WHISPER:-base}
mkdir -p "$RUN/stages" "$RUN/pretrained"
[ -z "$TEXTS" ] || TEXTS=$(cd "$TEXTS" && pwd)
cd "$RUN"
RUN=$PWD
export PYTHONPATH=$repository${PYTHONPATH:+:$PYTHONPATH} OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PYTHON

source "$here/../stages.sh"

corpora=(digits)
stage digits sled prepare digits --output digits --train "$TRAIN" --joined 0 --valid "$VALID" \
    --test "$TEST"
if [ -n "$TEXTS" ]; then
    corpora+=(english)
    stage english sled prepare english --output english --texts "$TEXTS/train.txt" \
        --test_texts "$TEXTS/val.txt" --hours "$HOURS" --word_share 0.09 --piece_share 0.33
fi
stage networks "$PYTHON" "$here/small.py" begin "${corpora[@]}"
stage speech_tokenizer sled tokenizer speech train --train_manifest cuts_train.jsonl.gz \
    --eval_manifest cuts_valid.jsonl.gz --output pretrained/tokenizer --device cpu \
    --text_normalization english-phonemes --hidden_size 192 --num_layers 3 --num_heads 4 \
    --num_decoder_layers 1 --max_steps "$TOKENIZER_STEPS" \
    --batch_duration_s "$TOKENIZER_BATCH_S" --num_workers 0
stage text_tokenizer sled tokenizer --input cuts_train.jsonl.gz --vocab_size 400 \
    --text_normalization english-phonemes --output pretrained/CosyVoice-BlankEN
guided=$((ALIGN_STEPS > 0))
sed -e "0,/max_epoch: .*/s//max_epoch: $EPOCHS/" -e "s/alignment_weight: .*/alignment_weight: $guided/" \
    "$here/conf/small.yaml" >small.yaml

export train_parts=train dev_parts=valid test_parts=test data_dir=. pretrained_model_dir=pretrained
export config=small.yaml checkpoint= dist_backend=gloo num_gpus=2 num_workers=0 num_utts=${NUM_UTTS:-500}
export speaker_encoder=pretrained/campplus.safetensors speech_tokenizer=pretrained/tokenizer
export num_threads=1 num_processes=1 average_num=3 models=${models:-hifigan flow llm}
# Processors without bfloat16 instructions emulate them, several times slower than float32.
export use_amp=false
if grep -qsE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then use_amp=true; fi
stage=0 stop_stage=2 bash "$here/run.sh"
if [ "$guided" = 1 ]; then
    stage align sled align --manifest cuts_train.jsonl.gz --output aligned_train.jsonl.gz \
        --text_normalization english-phonemes --max_steps "$ALIGN_STEPS" --num_workers 0 --device cpu
    # Not a stage: a table of speech tokens may have become longer.
    sled cache spoken --input data/train --manifest aligned_train.jsonl.gz \
        --tokenizer pretrained/CosyVoice-BlankEN --text_normalization english-phonemes
fi
stage=3 stop_stage=6 bash "$here/run.sh"
stage model "$PYTHON" "$here/small.py" finish

for corpus in "${corpora[@]}"; do
    stage "results_$corpus" sled evaluate --manifest "$corpus/cuts_test.jsonl.gz" --model model \
        --whisper "$WHISPER" --output "results_$corpus"
done

#!/usr/bin/env bash
# A small chain on processors, without a download: a teacher voice reads strings of digits, and with
# TEXTS also English; a speech tokenizer, a language model, a flow and a vocoder are trained on them.
# Stages 0 to 6 are those of run.sh, but one speaker vector serves all utterances. The language
# model is trained in two processes.
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
RUN=${RUN:-$here/out}
if [ -n "${TINY:-}" ]; then
    TRAIN=${TRAIN:-60} VALID=${VALID:-8} TEST=${TEST:-3} HOURS=${HOURS:-0.05}
    TOKENIZER_STEPS=${TOKENIZER_STEPS:-20} EPOCHS=${EPOCHS:-3} NUM_UTTS=${NUM_UTTS:-30}
    PRIOR_STEPS=${PRIOR_STEPS:-2}
    ALIGN_STEPS=${ALIGN_STEPS:-0} # a network of so few steps does not hear when words are said
fi
TRAIN=${TRAIN:-14400} VALID=${VALID:-60} TEST=${TEST:-100} HOURS=${HOURS:-4} TEXTS=${TEXTS:-}
TOKENIZER_STEPS=${TOKENIZER_STEPS:-1500} TOKENIZER_BATCH_S=${TOKENIZER_BATCH_S:-40}
ALIGN_STEPS=${ALIGN_STEPS:-400} EPOCHS=${EPOCHS:-6} WHISPER=${WHISPER:-base}
PRIOR_STEPS=${PRIOR_STEPS:-2000} # in which the encoder of the flow learns alone
mkdir -p "$RUN/stages" "$RUN/pretrained"
[ -z "$TEXTS" ] || TEXTS=$(cd "$TEXTS" && pwd)
cd "$RUN"
RUN=$PWD

source "$here/../stages.sh"
source "$here/small_settings.sh"

corpora=(digits)
stage digits sled prepare digits --output digits --train "$TRAIN" --joined 0 --valid "$VALID" \
    --test "$TEST"
if [ -n "$TEXTS" ]; then
    corpora+=(english)
    stage english sled prepare english --output english --texts "$TEXTS/train.txt" \
        --test_texts "$TEXTS/val.txt" --hours "$HOURS" --word_share 0.09 --piece_share 0.33
fi
stage corpora "$PYTHON" "$here/small.py" corpora "${corpora[@]}"
stage networks "$PYTHON" "$here/small.py" networks
stage speech_tokenizer sled tokenizer speech train --train_manifest cuts_train.jsonl.gz \
    --eval_manifest cuts_valid.jsonl.gz --output pretrained/tokenizer --device cpu \
    --text_normalization english-phonemes --hidden_size 192 --num_layers 3 --num_heads 4 \
    --num_decoder_layers 1 --max_steps "$TOKENIZER_STEPS" \
    --batch_duration_s "$TOKENIZER_BATCH_S" --num_workers 0
stage text_tokenizer sled tokenizer --input cuts_train.jsonl.gz --vocab_size 400 \
    --text_normalization english-phonemes --output pretrained/CosyVoice-BlankEN
guided=$((ALIGN_STEPS > 0))
sed -e "0,/max_epoch: .*/s//max_epoch: $EPOCHS/" -e "s/alignment_weight: .*/alignment_weight: $guided/" \
    -e "s/prior_steps: .*/prior_steps: $PRIOR_STEPS/" "$here/conf/small.yaml" >small.yaml

export test_parts=test checkpoint= models=${models:-hifigan flow llm}
stage=0 stop_stage=0 bash "$here/run.sh"
stage vectors "$PYTHON" "$here/small.py" vectors # instead of stage 1
stage=2 stop_stage=2 bash "$here/run.sh"
[ "$guided" = 0 ] || align
stage=3 stop_stage=5 bash "$here/run.sh"
for model in $models; do
    number=$average_num
    [ "$model" != hifigan ] || number=1 # it has one epoch
    models=$model average_num=$number stage=6 stop_stage=6 bash "$here/run.sh"
done
stage model "$PYTHON" "$here/small.py" finish

for corpus in "${corpora[@]}"; do
    stage "results_$corpus" sled evaluate --manifest "$corpus/cuts_test.jsonl.gz" --model model \
        --whisper "$WHISPER" --output "results_$corpus"
done

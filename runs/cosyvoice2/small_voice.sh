#!/usr/bin/env bash
# A person's voice for the small chain: its language model and its flow are fine-tuned on recordings.
# Held-out sentences are spoken and judged before and after.
#
#     bash runs/cosyvoice2/small.sh
#     DATA=recordings.jsonl bash runs/cosyvoice2/small_voice.sh
#
# DATA has a line {"wav": "a.wav", "txt": "What it says."} for each recording. CHAIN is the folder
# that small.sh filled; the result is in $RUN, and $RUN/model speaks. Every stage continues where it
# was interrupted.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
DATA=$(realpath "${DATA:?name a .jsonl file of recordings and texts}")
CHAIN=$(cd "${CHAIN:-$here/out}" && pwd)
RUN=${RUN:-$CHAIN/voice}
HELD_OUT=${HELD_OUT:-60} EPOCHS=${EPOCHS:-8} LEARNING_RATE=${LEARNING_RATE:-3e-4} WARMUP=${WARMUP:-50}
ALIGN_STEPS=${ALIGN_STEPS:-400} SEEDS=${SEEDS:-3} WHISPER=${WHISPER:-base} SPEAKER_ENCODER=${SPEAKER_ENCODER:-resemblyzer}
mkdir -p "$RUN/stages" "$RUN/pretrained" "$RUN/exp/cosyvoice2"
cd "$RUN"
RUN=$PWD

source "$here/../stages.sh"
source "$here/small_settings.sh"

# Flow and language model begin with those of the chain. Its other networks stay as they are.
trained=$CHAIN/exp/cosyvoice2
export test_parts= checkpoint=$trained/llm/torch_ddp/llm.pt models="flow llm"
ln -sfn "$trained/flow/torch_ddp/flow.pt" pretrained/flow.pt
for part in campplus.safetensors tokenizer CosyVoice-BlankEN; do
    ln -sfn "$CHAIN/pretrained/$part" "pretrained/$part"
done
ln -sfn "$trained/hifigan" exp/cosyvoice2/hifigan
sed -e "0,/max_epoch: .*/s//max_epoch: $EPOCHS/" -e "0,/lr: .*/s//lr: $LEARNING_RATE/" \
    -e "0,/warmup_steps: .*/s//warmup_steps: $WARMUP/" "$here/conf/small.yaml" >small.yaml

judge() { # judge OUTPUT MODEL MODES...: the held-out sentences, spoken and listened to
    local output=$1 model=$2
    shift 2
    sled evaluate --manifest person/cuts_valid.jsonl.gz --model "$model" --modes "$@" \
        --seeds "$SEEDS" --whisper "$WHISPER" --speaker_encoder "$SPEAKER_ENCODER" --output "$output"
}

stage person sled prepare jsonl --input "$DATA" --output person --valid_count "$HELD_OUT"
stage corpora "$PYTHON" "$here/small.py" corpora person
stage before judge before "$CHAIN/model" teacher codec offline clone
stage=0 stop_stage=0 bash "$here/run.sh"
stage vectors "$PYTHON" "$here/small.py" vectors # instead of stage 1
stage=2 stop_stage=2 bash "$here/run.sh"
align
stage=3 stop_stage=6 bash "$here/run.sh"
stage model "$PYTHON" "$here/small.py" finish
stage after judge after model codec offline stream
